//! The engine to beat: `tfhe`'s own seeded GLWE encryption, at a ring degree and modulus of our size.

use tfhe::core_crypto::prelude::*;

/// Coefficients in one ciphertext.
pub const DEGREE: usize = 2048;

/// An encryption key and its generator.
pub struct SeededGlwe {
    key: GlweSecretKeyOwned<u64>,
    noise: DynamicDistribution<u64>,
    seeder: Box<dyn Seeder>,
}

impl SeededGlwe {
    /// A fresh key.
    pub fn new() -> Self {
        let mut seeder = new_seeder();
        let mut generator = SecretRandomGenerator::<DefaultRandomGenerator>::new(seeder.seed());
        let key =
            allocate_and_generate_new_binary_glwe_secret_key(GlweDimension(1), PolynomialSize(DEGREE), &mut generator);
        Self { key, noise: DynamicDistribution::new_gaussian_from_std_dev(StandardDev(1e-15)), seeder }
    }

    /// Encrypts a vector of 32-bit slots, two in each coefficient's upper bits left for the sum; returns how many
    /// ciphertexts that took.
    pub fn encrypt(&mut self, values: &[u32]) -> usize {
        let mut ciphertext = SeededGlweCiphertext::new(
            0u64,
            GlweDimension(1).to_glwe_size(),
            PolynomialSize(DEGREE),
            self.seeder.seed().into(),
            CiphertextModulus::new_native(),
        );
        let mut plaintexts = PlaintextList::new(0u64, PlaintextCount(DEGREE));
        let mut count = 0;
        for values in values.chunks(2 * DEGREE) {
            for (plaintext, pair) in plaintexts.iter_mut().zip(values.chunks(2)) {
                let packed = pair.iter().fold(0u64, |packed, &value| packed << 20 | u64::from(value));
                *plaintext.0 = packed << 24;
            }
            encrypt_seeded_glwe_ciphertext(&self.key, &mut ciphertext, &plaintexts, self.noise, &mut *self.seeder);
            std::hint::black_box(&ciphertext);
            count += 1;
        }
        count
    }
}
