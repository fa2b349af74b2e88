#![allow(clippy::unwrap_used)]
use super::*;

fn one() -> NonZeroUsize {
    NonZeroUsize::MIN
}

#[test]
fn exponents_commute() {
    let (a, b) = (Exponent::derive(&[1; 32]), Exponent::derive(&[2; 32]));
    let domain = Digest::from_bytes([7; 32]);
    let items: Vec<_> = (0..600u32).map(u32::to_le_bytes).collect();
    let (mut first, mut second) = (Vec::new(), Vec::new());
    hash_and_raise(&domain, &items, &a, one(), &mut first);
    hash_and_raise(&domain, &items, &b, NonZeroUsize::new(3).unwrap(), &mut second);
    raise(&mut first, &b, NonZeroUsize::new(2).unwrap()).unwrap();
    raise(&mut second, &a, one()).unwrap();
    assert_eq!(first, second);
}

#[test]
fn engines_agree() {
    let a = Exponent::derive(&[3; 32]);
    let domain = Digest::from_bytes([7; 32]);
    let items: Vec<_> = (0..603u32).map(u32::to_le_bytes).collect();
    let (mut first, mut second) = (Vec::new(), Vec::new());
    hash_and_raise_with(Engine::best(), &domain, &items, &a, one(), &mut first);
    hash_and_raise_with(Engine::Dalek, &domain, &items, &a, one(), &mut second);
    assert_eq!(first, second);
    raise_with(Engine::best(), &mut first, &a, one()).unwrap();
    raise_with(Engine::Dalek, &mut second, &a, one()).unwrap();
    assert_eq!(first, second);
}
