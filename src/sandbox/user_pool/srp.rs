//! The server's side of SRP-6a in Cognito's variant, with arithmetic that the client does not share.
//!
//! RFC 5054's 3072-bit prime with generator 2, SHA-256, numbers hashed as Java's
//! `BigInteger.toByteArray` writes them, and a 16-byte HKDF key that signs the claim.

use std::sync::LazyLock;

use base64::{Engine, engine::general_purpose::STANDARD};
use num_bigint::BigUint;

use crate::sandbox::digest::{hmac, sha256};

static N: LazyLock<BigUint> = LazyLock::new(|| {
    const PRIME: &str = "\
        FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74020BBEA63B139B22514A08798E3404DD\
        EF9519B3CD3A431B302B0A6DF25F14374FE1356D6D51C245E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7ED\
        EE386BFB5A899FA5AE9F24117C4B1FE649286651ECE45B3DC2007CB8A163BF0598DA48361C55D39A69163FA8FD24CF5F\
        83655D23DCA3AD961C62F356208552BB9ED529077096966D670C354E4ABC9804F1746C08CA18217C32905E462E36CE3B\
        E39E772C180E86039B2783A2EC07A28FB5C55DF06F4C52C9DE2BCBF6955817183995497CEA956AE515D2261898FA0510\
        15728E5A8AAAC42DAD33170D04507A33A85521ABDF1CBA64ECFB850458DBEF0A8AEA71575D060C7DB3970F85A6E1E4C7\
        ABF5AE8CDB0933D71E8C94E04A25619DCEE3D2261AD2EE6BF12FFA06D98A0864D87602733EC86A64521F2B18177B200C\
        BBE117577A615D6C770988C0BAD946E208E24FA074E5AB3143DB5BFCE0FD108E4B82D120A93AD2CAFFFFFFFFFFFFFFFF";
    BigUint::parse_bytes(PRIME.as_bytes(), 16).expect("the prime is hexadecimal")
});

static G: LazyLock<BigUint> = LazyLock::new(|| BigUint::from(2_u8));

static K: LazyLock<BigUint> = LazyLock::new(|| BigUint::from_bytes_be(&sha256(&[&padded(&N), &padded(&G)])));

/// Who proves a password: the pool's name and the user, or the device group and the device.
#[derive(Clone, Debug)]
pub(super) struct Prover {
    pub(super) group: String,
    pub(super) id: String,
}

/// What a server stores in place of a password.
#[derive(Clone)]
pub(super) struct Verifier {
    salt: BigUint,
    verifier: BigUint,
}

/// One exchange, from the server's public value to the check of the claim.
pub(super) struct Handshake {
    salt: BigUint,
    verifier: BigUint,
    private: BigUint,
    public: BigUint,
    client_public: BigUint,
}

/// The client's public value is no number, or a multiple of N.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct InvalidPublicValue;

impl Verifier {
    pub(super) fn of(prover: &Prover, password: &str, salt: &[u8]) -> Self {
        let salt = BigUint::from_bytes_be(salt);
        let verifier = G.modpow(&private_key(prover, password, &salt), &N);
        Self { salt, verifier }
    }

    /// Salt and verifier as they are stored, which [`Verifier::from_stored`] reads.
    pub(super) fn to_stored(&self) -> (String, String) {
        (self.salt.to_str_radix(16), self.verifier.to_str_radix(16))
    }

    /// `None` when one of the texts is no hexadecimal number.
    pub(super) fn from_stored(salt: &str, verifier: &str) -> Option<Self> {
        let number = |text: &str| BigUint::parse_bytes(text.as_bytes(), 16);
        Some(Self { salt: number(salt)?, verifier: number(verifier)? })
    }

    /// From ConfirmDevice, which carries both as `BigInteger.toByteArray` writes them; `None` when
    /// that reads as a negative number.
    pub(super) fn from_parts(salt: &[u8], verifier: &[u8]) -> Option<Self> {
        let number = |bytes: &[u8]| {
            let positive = bytes.first().is_some_and(|first| first & 0x80 == 0);
            positive.then(|| BigUint::from_bytes_be(bytes))
        };
        Some(Self { salt: number(salt)?, verifier: number(verifier)? })
    }
}

impl Handshake {
    pub(super) fn start(verifier: Verifier, srp_a: &str) -> Result<Self, InvalidPublicValue> {
        let client_public = BigUint::parse_bytes(srp_a.as_bytes(), 16).ok_or(InvalidPublicValue)?;
        if &client_public % &*N == BigUint::ZERO {
            return Err(InvalidPublicValue);
        }
        let private = BigUint::from_bytes_be(&rand::random::<[u8; 32]>());
        Ok(Self::with_private(verifier, client_public, private))
    }

    fn with_private(Verifier { salt, verifier }: Verifier, client_public: BigUint, private: BigUint) -> Self {
        let public = (&*K * &verifier + G.modpow(&private, &N)) % &*N;
        Self { salt, verifier, private, public, client_public }
    }

    /// SALT of the challenge, as `BigInteger.toString(16)`: an odd number of digits is possible.
    pub(super) fn salt(&self) -> String {
        self.salt.to_str_radix(16)
    }

    /// SRP_B of the challenge, in the same form.
    pub(super) fn srp_b(&self) -> String {
        self.public.to_str_radix(16)
    }

    /// PASSWORD_CLAIM_SIGNATURE of a client that knows the password.
    pub(super) fn claim(&self, prover: &Prover, secret_block: &[u8], timestamp: &str) -> String {
        let u = scrambler(&self.client_public, &self.public);
        let base = &self.client_public * self.verifier.modpow(&u, &N) % &*N;
        let shared = base.modpow(&self.private, &N);
        signature(&shared_key(&u, &shared), prover, secret_block, timestamp)
    }
}

fn private_key(prover: &Prover, password: &str, salt: &BigUint) -> BigUint {
    let identity = sha256(&[prover.group.as_bytes(), prover.id.as_bytes(), b":", password.as_bytes()]);
    BigUint::from_bytes_be(&sha256(&[&padded(salt), &identity]))
}

fn scrambler(client_public: &BigUint, server_public: &BigUint) -> BigUint {
    BigUint::from_bytes_be(&sha256(&[&padded(client_public), &padded(server_public)]))
}

fn shared_key(u: &BigUint, shared: &BigUint) -> [u8; 16] {
    let extracted = hmac(&padded(u), &[&padded(shared)]);
    let expanded = hmac(&extracted, &[b"Caldera Derived Key", &[1]]);
    *expanded.first_chunk().expect("a digest is longer than the key")
}

fn signature(key: &[u8; 16], prover: &Prover, secret_block: &[u8], timestamp: &str) -> String {
    let parts = [prover.group.as_bytes(), prover.id.as_bytes(), secret_block, timestamp.as_bytes()];
    STANDARD.encode(hmac(key, &parts))
}

/// `BigInteger.toByteArray`: minimal, and one more byte where the top bit would read as a sign.
fn padded(number: &BigUint) -> Vec<u8> {
    let mut bytes = number.to_bytes_be();
    if bytes[0] & 0x80 != 0 {
        bytes.insert(0, 0);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::Value;

    use super::*;

    /// The client's formula, on the functions that the server's is made of.
    fn client_claim(
        prover: &Prover,
        password: &str,
        a: &BigUint,
        salt: &BigUint,
        b: &BigUint,
        block: &[u8],
        time: &str,
    ) -> String {
        let x = private_key(prover, password, salt);
        let u = scrambler(&G.modpow(a, &N), b);
        let known = &*K * G.modpow(&x, &N) % &*N;
        let base = (b % &*N + &*N - known) % &*N;
        let shared = base.modpow(&(a + &u * &x), &N);
        signature(&shared_key(&u, &shared), prover, block, time)
    }

    fn prover(group: &str, id: &str) -> Prover {
        Prover { group: group.to_owned(), id: id.to_owned() }
    }

    #[test]
    fn a_client_that_knows_the_password_makes_the_expected_claim() {
        let prover = prover("AbCdEf123", "demo");
        for round in 0..8_u8 {
            let verifier = Verifier::of(&prover, "pässword", &[round; 16]);
            let a = BigUint::from_bytes_be(&rand::random::<[u8; 32]>());
            let srp_a = G.modpow(&a, &N).to_str_radix(16);
            let handshake = Handshake::start(verifier, &srp_a).expect("valid");
            let salt = BigUint::parse_bytes(handshake.salt().as_bytes(), 16).expect("hex");
            let b = BigUint::parse_bytes(handshake.srp_b().as_bytes(), 16).expect("hex");
            let claim = |password| client_claim(&prover, password, &a, &salt, &b, b"block", "now");
            let expected = handshake.claim(&prover, b"block", "now");
            assert_eq!(claim("pässword"), expected);
            assert_ne!(claim("password"), expected);
        }
    }

    #[test]
    fn public_values_that_are_multiples_of_n_are_refused() {
        let verifier = Verifier::of(&prover("p", "u"), "x", &[1; 16]);
        let twice = (&*N * 2_u8).to_str_radix(16);
        for value in ["0", "00", &N.to_str_radix(16), &twice, "", "xyz", "-5"] {
            let refused = Handshake::start(verifier.clone(), value).err();
            assert_eq!(refused, Some(InvalidPublicValue), "{value}");
        }
    }

    #[test]
    fn recorded_exchanges_of_another_implementation_give_the_same_signatures() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let found = ["tests/fixtures/srp_vectors.json", "../shared/vectors/srp_vectors.json"]
            .into_iter()
            .find_map(|path| std::fs::read(root.join(path)).ok());
        let Some(file) = found else {
            println!("no recorded exchanges found");
            return;
        };
        let file: Value = serde_json::from_slice(&file).expect("JSON");
        for row in file["vectors"].as_array().expect("rows") {
            let text = |key: &str| row[key].as_str().expect("text");
            let number = |key: &str| BigUint::parse_bytes(text(key).as_bytes(), 16);
            let (Some(salt), Some(b)) = (number("salt"), number("srp_b")) else { continue };
            let prover = prover(text("pool"), text("user_id_for_srp"));
            let block = STANDARD.decode(text("secret_block")).expect("base64");
            let a = number("a_hex").expect("hex");
            let claim = client_claim(&prover, text("password"), &a, &salt, &b, &block, text("timestamp"));
            assert_eq!(claim, text("signature"), "{}", text("kind"));
        }
    }
}
