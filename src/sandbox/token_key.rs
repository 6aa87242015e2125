//! The key that signs the sandbox's tokens: of the seed, so that a verifier that has fetched it need not do so again.
//!
//! The key of the default seed is published here, and every other one follows from a text that was typed. Nothing
//! outside this machine may trust a token that the sandbox has signed.

use std::{convert::Infallible, io, sync::OnceLock};

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use rsa::{
    BoxedUint, PrivateKey,
    pkcs1v15::{SigningKey, VerifyingKey},
    rand_core::{TryCryptoRng, TryRng},
    signature::Keypair,
    traits::PublicKeyParts,
};
use sha2::Sha256;

use super::{digest::sha256, seed::Seed};

const KEY_BITS: usize = 2048;
const PUBLIC_EXPONENT: u64 = 65537;

/// The primes of the default seed's key. Generating it would cost each start 0.05 to 0.1 s, and another version of the
/// generator would find another key.
const DEFAULT_P: &str = "d2ea5bd89e1947e50efb2e8ecb63a02a0e6af394a3cde9446657e0ca6da5b41d26382a8a6f56b1ec3604f3a5e4\
    13986d870afa5a1ac0251c5638689ffb2bb8404bd8db5b3b7790806024e8b89635fb7a082c5478e5607068d265\
    7424af17ddf3b7f9a60f2b65153fe7c78db949591e07101b1ec206309236eb7941a4057f407d";
const DEFAULT_Q: &str = "cb21acfa5ce0934546468020c220c569b8f0f964a182053356e6c97cd982d0f0bf757d2b8aa44b2c3dc16b8ae2\
    e0bee4295acac6936499a7a98e6bf767a68de262a72239cec306a90d7094921580d0313e2f1e36d84c99261db8\
    fc2d6d354ddc27c0f48ce03f077fde66d53095f7d8aea269305c2d44cffe4d201a465f7794d9";

/// All sandboxes of the process share one key.
static KEY: OnceLock<TokenKey> = OnceLock::new();

pub(super) struct TokenKey {
    seed: Seed,
    pub(super) signing: SigningKey<Sha256>,
    pub(super) verifying: VerifyingKey<Sha256>,
    /// `kid`, which follows from the key.
    pub(super) id: String,
    /// `n` of the published key.
    pub(super) modulus: String,
    /// `e` of the published key.
    pub(super) exponent: String,
}

/// Makes the key of `seed` that of the process.
///
/// # Errors
///
/// When a sandbox with another seed runs in this process.
pub(super) async fn prepare(seed: Seed) -> io::Result<()> {
    let wanted = seed.clone();
    // A new key takes a moment, in which signals are still answered.
    let prepared = tokio::task::spawn_blocking(move || KEY.get_or_init(|| TokenKey::of(seed)).seed == wanted);
    if prepared.await.map_err(io::Error::other)? {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "a sandbox with another seed runs in this process"))
}

/// The key of the process; that of the default seed if none was prepared.
pub(super) fn current() -> &'static TokenKey {
    KEY.get_or_init(|| TokenKey::of(Seed::default()))
}

impl TokenKey {
    fn of(seed: Seed) -> Self {
        let key = if seed == Seed::default() {
            let exponent = BoxedUint::from(PUBLIC_EXPONENT);
            PrivateKey::from_p_q(prime(DEFAULT_P), prime(DEFAULT_Q), exponent)
                .expect("the default key is valid")
        } else {
            PrivateKey::new(&mut SeededRng::new(&seed), KEY_BITS).expect("2,048 bits are enough for a key")
        };
        let (modulus, exponent) =
            (URL_SAFE_NO_PAD.encode(key.n_bytes()), URL_SAFE_NO_PAD.encode(key.e_bytes()));
        let id = STANDARD.encode(sha256(&[modulus.as_bytes()]));
        let signing = SigningKey::new(key);
        Self { seed, verifying: signing.verifying_key(), signing, id, modulus, exponent }
    }
}

fn prime(hexadecimal: &str) -> BoxedUint {
    let digits = hexadecimal.as_bytes().chunks(2);
    let bytes: Vec<u8> = digits
        .map(|pair| std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok()))
        .collect::<Option<_>>()
        .expect("the primes are hexadecimal");
    BoxedUint::from_be_slice(&bytes, 1024).expect("the primes have 1,024 bits")
}

/// Random numbers of a seed: HMAC-SHA256 of a counter, since the generators of `rand` may give others after an update.
struct SeededRng {
    seed: Seed,
    counter: u64,
    block: [u8; 32],
    used: usize,
}

impl SeededRng {
    fn new(seed: &Seed) -> Self {
        Self { seed: seed.clone(), counter: 0, block: [0; 32], used: 32 }
    }

    fn fill(&mut self, target: &mut [u8]) {
        for byte in target {
            if self.used == self.block.len() {
                self.block = self.seed.bytes("token key", &self.counter.to_string());
                self.counter += 1;
                self.used = 0;
            }
            *byte = self.block[self.used];
            self.used += 1;
        }
    }
}

impl TryRng for SeededRng {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.fill(&mut bytes);
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, target: &mut [u8]) -> Result<(), Infallible> {
        self.fill(target);
        Ok(())
    }
}

impl TryCryptoRng for SeededRng {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_has_one_key_and_no_other_seed_has_it() {
        let key = |seed: &str| TokenKey::of(Seed::new(seed)).modulus;
        let default = TokenKey::of(Seed::default());
        let ours = key("ours");
        assert_eq!(ours, key("ours"));
        assert_ne!(ours, default.modulus);
        assert_eq!(default.id, TokenKey::of(Seed::default()).id);
    }
}
