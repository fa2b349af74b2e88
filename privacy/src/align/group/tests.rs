#![allow(clippy::unwrap_used)]

use super::*;
use proptest::prelude::*;
use std::array;

/// RFC 9496, appendix A.1: the generator times 1, 2, .., 15.
const MULTIPLES: [&str; 15] = [
    "e2f2ae0a6abc4e71a884a961c500515f58e30b6aa582dd8db6a65945e08d2d76",
    "6a493210f7499cd17fecb510ae0cea23a110e8d5b901f8acadd3095c73a3b919",
    "94741f5d5d52755ece4f23f044ee27d5d1ea1e2bd196b462166b16152a9d0259",
    "da80862773358b466ffadfe0b3293ab3d9fd53c5ea6c955358f568322daf6a57",
    "e882b131016b52c1d3337080187cf768423efccbb517bb495ab812c4160ff44e",
    "f64746d3c92b13050ed8d80236a7f0007c3b3f962f5ba793d19a601ebb1df403",
    "44f53520926ec81fbd5a387845beb7df85a96a24ece18738bdcfa6a7822a176d",
    "903293d8f2287ebe10e2374dc1a53e0bc887e592699f02d077d5263cdd55601c",
    "02622ace8f7303a31cafc63f8fc48fdc16e1c8c8d234b2f0d6685282a9076031",
    "20706fd788b2720a1ed2a5dad4952b01f413bcf0e7564de8cdc816689e2db95f",
    "bce83f8ba5dd2fa572864c24ba1810f9522bc6004afe95877ac73241cafdab42",
    "e4549ee16b9aa03099ca208c67adafcafa4c3f3e4e5303de6026e3ca8ff84460",
    "aa52e000df2e16f55fb1032fc33bc42742dad6bd5a8fc0be0167436c5948501f",
    "46376b80f409b29dc2b5f6f0c52591990896e5716f41477cd30085ab7f10301e",
    "e0c418f7c8d9c4cdd7395b93ea124f3ad99021bb681dfc3302a9d99a2e53e64e",
];

/// RFC 9496, appendix A.2: encodings that must be refused.
const BAD: [&str; 29] = [
    // Not canonical.
    "00ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "f3ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    // Negative.
    "0100000000000000000000000000000000000000000000000000000000000000",
    "01ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "ed57ffd8c914fb201471d1c3d245ce3c746fcbe63a3679d51b6a516ebebe0e20",
    "c34c4e1826e5d403b78e246e88aa051c36ccf0aafebffe137d148a2bf9104562",
    "c940e5a4404157cfb1628b108db051a8d439e1a421394ec4ebccb9ec92a8ac78",
    "47cfc5497c53dc8e61c91d17fd626ffb1c49e2bca94eed052281b510b1117a24",
    "f1c6165d33367351b0da8f6e4511010c68174a03b6581212c71c0e1d026c3c72",
    "87260f7a2f12495118360f02c26a470f450dadf34a413d21042b43b9d93e1309",
    // x^2 is not a square.
    "26948d35ca62e643e26a83177332e6b6afeb9d08e4268b650f1f5bbd8d81d371",
    "4eac077a713c57b4f4397629a4145982c661f48044dd3f96427d40b147d9742f",
    "de6a7b00deadc788eb6b6c8d20c0ae96c2f2019078fa604fee5b87d6e989ad7b",
    "bcab477be20861e01e4a0e295284146a510150d9817763caf1a6f4b422d67042",
    "2a292df7e32cababbd9de088d1d1abec9fc0440f637ed2fba145094dc14bea08",
    "f4a9e534fc0d216c44b218fa0c42d99635a0127ee2e53c712f70609649fdff22",
    "8268436f8c4126196cf64b3c7ddbda90746a378625f9813dd9b8457077256731",
    "2810e5cbc2cc4d4eece54f61c6f69758e289aa7ab440b3cbeaa21995c2f4232b",
    // x y is negative.
    "3eb858e78f5a7254d8c9731174a94f76755fd3941c0ac93735c07ba14579630e",
    "a45fdc55c76448c049a1ab33f17023edfb2be3581e9c7aade8a6125215e04220",
    "d483fe813c6ba647ebbfd3ec41adca1c6130c2beeee9d9bf065c8d151c5f396e",
    "8a2e1d30050198c65a54483123960ccc38aef6848e1ec8f5f780e8523769ba32",
    "32888462f8b486c68ad7dd9610be5192bbeaf3b443951ac1a8118419d9fa097b",
    "227142501b9d4355ccba290404bde41575b037693cef1f438c47f8fbf35d1165",
    "5c37cc491da847cfeb9281d407efc41e15144c876e0170b499a96a22ed31e01e",
    "445425117cb8c90edcbc7c1cc0e74f747f2c1efa5630a967c64f287792a48a4b",
    // s = -1, and y = 0.
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
];

/// RFC 9496, appendix A.3: uniform bytes and the points they are mapped to.
const MAPPED: [(&str, &str, &str); 11] = [
    (
        "5d1be09e3d0c82fc538112490e35701979d99e06ca3e2b5b54bffe8b4dc772c1",
        "4d98b696a1bbfb5ca32c436cc61c16563790306c79eaca7705668b47dffe5bb6",
        "3066f82a1a747d45120d1740f14358531a8f04bbffe6a819f86dfe50f44a0a46",
    ),
    (
        "f116b34b8f17ceb56e8732a60d913dd10cce47a6d53bee9204be8b44f6678b27",
        "0102a56902e2488c46120e9276cfe54638286b9e4b3cdb470b542d46c2068d38",
        "f26e5b6f7d362d2d2a94c5d0e7602cb4773c95a2e5c31a64f133189fa76ed61b",
    ),
    (
        "8422e1bbdaab52938b81fd602effb6f89110e1e57208ad12d9ad767e2e25510c",
        "27140775f9337088b982d83d7fcf0b2fa1edffe51952cbe7365e95c86eaf325c",
        "006ccd2a9e6867e6a2c5cea83d3302cc9de128dd2a9a57dd8ee7b9d7ffe02826",
    ),
    (
        "ac22415129b61427bf464e17baee8db65940c233b98afce8d17c57beeb7876c2",
        "150d15af1cb1fb824bbd14955f2b57d08d388aab431a391cfc33d5bafb5dbbaf",
        "f8f0c87cf237953c5890aec3998169005dae3eca1fbb04548c635953c817f92a",
    ),
    (
        "165d697a1ef3d5cf3c38565beefcf88c0f282b8e7dbd28544c483432f1cec767",
        "5debea8ebb4e5fe7d6f6e5db15f15587ac4d4d4a1de7191e0c1ca6664abcc413",
        "ae81e7dedf20a497e10c304a765c1767a42d6e06029758d2d7e8ef7cc4c41179",
    ),
    (
        "a836e6c9a9ca9f1e8d486273ad56a78c70cf18f0ce10abb1c7172ddd605d7fd2",
        "979854f47ae1ccf204a33102095b4200e5befc0465accc263175485f0e17ea5c",
        "e2705652ff9f5e44d3e841bf1c251cf7dddb77d140870d1ab2ed64f1a9ce8628",
    ),
    (
        "2cdc11eaeb95daf01189417cdddbf95952993aa9cb9c640eb5058d09702c7462",
        "2c9965a697a3b345ec24ee56335b556e677b30e6f90ac77d781064f866a3c982",
        "80bd07262511cdde4863f8a7434cef696750681cb9510eea557088f76d9e5065",
    ),
    // Inputs that stand for the same field elements.
    (
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "1200000000000000000000000000000000000000000000000000000000000000",
        "304282791023b73128d277bdcb5c7746ef2eac08dde9f2983379cb8e5ef0517f",
    ),
    (
        "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        "304282791023b73128d277bdcb5c7746ef2eac08dde9f2983379cb8e5ef0517f",
    ),
    (
        "0000000000000000000000000000000000000000000000000000000000000080",
        "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "304282791023b73128d277bdcb5c7746ef2eac08dde9f2983379cb8e5ef0517f",
    ),
    (
        "0000000000000000000000000000000000000000000000000000000000000000",
        "1200000000000000000000000000000000000000000000000000000000000080",
        "304282791023b73128d277bdcb5c7746ef2eac08dde9f2983379cb8e5ef0517f",
    ),
];

fn point(text: &str) -> [u8; POINT_BYTES] {
    hex::decode(text).unwrap().try_into().unwrap()
}

fn threads(count: usize) -> NonZeroUsize {
    NonZeroUsize::new(count).unwrap()
}

fn exponent(scalar: impl Into<Scalar>) -> Exponent {
    Exponent::from_scalar(&scalar.into())
}

fn map_and_raise(engine: Engine, hashes: &[[u8; 64]], exponent: &Exponent) -> Vec<[u8; POINT_BYTES]> {
    let mut out = vec![[0; POINT_BYTES]; hashes.len()];
    for (hashes, out) in hashes.chunks(engine::BLOCK).zip(out.chunks_mut(engine::BLOCK)) {
        engine.map_and_raise(hashes, exponent, out);
    }
    out
}

/// Little-endian integers at the edges of the field: 0, 1, 2, .., around p, 2^255 and 2^256, and each alone in a limb.
fn edges() -> Vec<[u8; 32]> {
    let small = (0..=40u8).map(|low| array::from_fn(|i| if i == 0 { low } else { 0 }));
    let below = |top: u8| {
        (0..=40u8).map(move |low| {
            array::from_fn(|i| match i {
                0 => 0xff - low,
                31 => top,
                _ => 0xff,
            })
        })
    };
    let bits = (0..256).map(|bit| array::from_fn(|i| if i == bit / 8 { 1 << (bit % 8) } else { 0 }));
    small.chain(below(0x7f)).chain(below(0xff)).chain(bits).collect()
}

#[test]
fn multiples_of_the_generator_are_those_of_the_rfc() {
    for engine in Engine::available() {
        for (i, multiple) in MULTIPLES.iter().enumerate() {
            let mut points = vec![point(MULTIPLES[0]); 11];
            engine.raise(&mut points, &exponent(i as u64 + 1), threads(1)).unwrap();
            assert_eq!(points, vec![point(multiple); 11], "{engine:?}, {}", i + 1);
        }
        let mut all = MULTIPLES.map(point);
        engine.raise(&mut all, &exponent(1u64), threads(1)).unwrap();
        assert_eq!(all, MULTIPLES.map(point), "{engine:?}");
    }
}

#[test]
fn the_map_is_that_of_the_rfc() {
    let hashes: Vec<[u8; 64]> =
        MAPPED.iter().map(|(first, second, _)| [point(first), point(second)].concat().try_into().unwrap()).collect();
    for engine in Engine::available() {
        let points = map_and_raise(engine, &hashes, &exponent(1u64));
        assert_eq!(points, MAPPED.map(|(.., point_)| point(point_)), "{engine:?}");
    }
}

#[test]
fn bad_encodings_are_refused_by_position() {
    let good = point(MULTIPLES[1]);
    for engine in Engine::available() {
        for (i, bad) in BAD.iter().map(|bad| point(bad)).enumerate() {
            let at = i * 37 % 700;
            let mut points = vec![good; 700];
            points[at] = bad;
            points[699] = point(BAD[0]);
            let refusal = engine.raise(&mut points, &exponent(5u64), threads(1 + i % 3));
            assert_eq!(refusal, Err(BadPoint::Encoding { index: at }), "{engine:?}, {}", BAD[i]);
        }
        for at in [0, 7, 8, 255, 256, 511, 699] {
            let mut points = vec![good; 700];
            points[at] = [0; POINT_BYTES];
            let refusal = engine.raise(&mut points, &exponent(5u64), threads(2));
            assert_eq!(refusal, Err(BadPoint::Identity { index: at }), "{engine:?}");
            if at > 0 {
                points.fill(good);
                (points[at], points[at - 1]) = ([0; POINT_BYTES], point(BAD[20]));
                let refusal = engine.raise(&mut points, &exponent(5u64), threads(2));
                assert_eq!(refusal, Err(BadPoint::Encoding { index: at - 1 }), "{engine:?}");
                assert_eq!(refusal.unwrap_err().index(), at - 1);
            }
        }
    }
}

#[test]
fn engines_agree_at_the_edges_of_the_field() {
    let edges = edges();
    let hashes: Vec<[u8; 64]> = edges
        .iter()
        .enumerate()
        .flat_map(|(i, &first)| [(first, edges[(7 * i + 3) % edges.len()]), (first, first)])
        .map(|halves| <[[u8; 32]; 2]>::from(halves).concat().try_into().unwrap())
        .collect();
    let dalek = *Engine::available().last().unwrap();
    for engine in Engine::available() {
        for exponent in [exponent(1u64), exponent(2u64), Exponent::derive(&[9; 32])] {
            assert_eq!(map_and_raise(engine, &hashes, &exponent), map_and_raise(dalek, &hashes, &exponent));
        }
        for &edge in &edges {
            let (mut first, mut second) = ([edge], [edge]);
            let results = [
                engine.raise(&mut first, &exponent(3u64), threads(1)),
                dalek.raise(&mut second, &exponent(3u64), threads(1)),
            ];
            assert_eq!(results[0], results[1], "{engine:?}, {}", hex::encode(edge));
            assert!(results[0].is_err() || first == second, "{engine:?}, {}", hex::encode(edge));
        }
    }
}

#[test]
fn engines_agree_on_exponents_with_extreme_digits() {
    let hashes: Vec<[u8; 64]> = (0..9u8).map(|i| [i.wrapping_mul(29); 64]).collect();
    let dalek = *Engine::available().last().unwrap();
    let minus_one = -Scalar::ONE;
    let bytes = [[0x77; 32], [0x88; 32], [0x78; 32], [0x87; 32], [0x7f; 32], [0x80; 32], [0x0f; 32], [0xf0; 32]];
    let patterns = bytes.map(|mut bytes| {
        bytes[31] &= 0x0f;
        Scalar::from_bytes_mod_order(bytes) * Scalar::from(2u8)
    });
    for scalar in patterns.into_iter().chain([minus_one, minus_one - Scalar::ONE, Scalar::from(17u8)]) {
        for engine in Engine::available() {
            let points = map_and_raise(engine, &hashes, &exponent(scalar));
            assert_eq!(points, map_and_raise(dalek, &hashes, &exponent(scalar)), "{engine:?}, {scalar:?}");
        }
    }
}

#[test]
fn exponents_commute_whatever_the_threads() {
    let domain = Digest::from_bytes([7; 32]);
    let items: Vec<_> = (0..1100u32).map(u32::to_le_bytes).collect();
    let (a, b) = (Exponent::derive(&[1; 32]), Exponent::derive(&[2; 32]));
    let (mut first, mut second) = (Vec::new(), vec![[1; POINT_BYTES]; 3]);
    hash_and_raise(&domain, &items, &a, threads(1), &mut first);
    hash_and_raise(&domain, &items, &b, threads(3), &mut second);
    assert_ne!(first, second);
    raise(&mut first, &b, threads(2)).unwrap();
    raise(&mut second, &a, threads(100)).unwrap();
    assert_eq!(first, second);
}

#[test]
fn items_and_domains_are_told_apart() {
    let exponent = Exponent::derive(&[1; 32]);
    let (mut first, mut second) = (Vec::new(), Vec::new());
    hash_and_raise(&Digest::from_bytes([7; 32]), &["a", "b", "a"], &exponent, threads(1), &mut first);
    hash_and_raise(&Digest::from_bytes([8; 32]), &["a", "b", ""], &exponent, threads(1), &mut second);
    assert_eq!(first[0], first[2]);
    assert_ne!(first[0], first[1]);
    assert!(first.iter().all(|point| !second.contains(point)));
    hash_and_raise::<&str>(&Digest::from_bytes([8; 32]), &[], &exponent, threads(2), &mut second);
    assert!(second.is_empty());
    raise(&mut second, &exponent, threads(2)).unwrap();
}

#[test]
fn an_exponent_does_not_show_itself() {
    assert_eq!(format!("{:?}", Exponent::derive(&[1; 32])), "Exponent(..)");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn engines_agree(
        seed: [u8; 32],
        hashes in prop::collection::vec(prop::array::uniform2(any::<[u8; 32]>()), 1..40),
        encodings in prop::collection::vec(any::<[u8; 32]>(), 0..40),
    ) {
        let exponent = Exponent::derive(&seed);
        let hashes: Vec<[u8; 64]> = hashes.into_iter().map(|halves| halves.concat().try_into().unwrap()).collect();
        let dalek = *Engine::available().last().unwrap();
        let expected = map_and_raise(dalek, &hashes, &exponent);
        let mut raised = expected.clone();
        dalek.raise(&mut raised, &exponent, threads(1)).unwrap();
        for engine in Engine::available() {
            let mut points = map_and_raise(engine, &hashes, &exponent);
            prop_assert_eq!(&points, &expected);
            engine.raise(&mut points, &exponent, threads(1)).unwrap();
            prop_assert_eq!(&points, &raised);
            for encoding in &encodings {
                // One in eight or so is a point.
                let encoding = array::from_fn(|i| encoding[i] & if i == 0 { 0xfe } else if i == 31 { 0x7f } else { 0xff });
                let (mut first, mut second) = ([encoding], [encoding]);
                let result = engine.raise(&mut first, &exponent, threads(1));
                prop_assert_eq!(result, dalek.raise(&mut second, &exponent, threads(1)));
                prop_assert!(result.is_err() || first == second);
            }
        }
    }
}
