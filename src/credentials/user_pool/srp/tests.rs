use std::time::Duration;

use serde::Deserialize;

use super::*;

#[derive(Deserialize)]
struct Fixture {
    vectors: Vec<Vector>,
}

#[derive(Deserialize)]
struct Vector {
    kind: String,
    pool: String,
    user_id_for_srp: String,
    password: String,
    a_hex: String,
    srp_a: String,
    salt: String,
    srp_b: String,
    secret_block: String,
    timestamp: String,
    signature: String,
}

impl Vector {
    fn identity(&self) -> Identity<'_> {
        Identity { scope: &self.pool, name: &self.user_id_for_srp, password: &self.password }
    }

    fn server_values(&self) -> ServerValues<'_> {
        ServerValues { salt: &self.salt, public: &self.srp_b, secret_block: &self.secret_block }
    }

    fn handshake(&self) -> Handshake {
        Handshake::new(&secret_from_hex(&self.a_hex))
    }
}

fn vectors() -> Vec<Vector> {
    let fixture = include_str!("../../../../tests/fixtures/srp_vectors.json");
    serde_json::from_str::<Fixture>(fixture).expect("the fixture is JSON").vectors
}

fn secret_from_hex(hex: &str) -> Zeroizing<[u8; SECRET_BYTES]> {
    let number = Integer::from_hex(hex).expect("hexadecimal").to_uint().expect("in range");
    let mut secret = Zeroizing::new([0; SECRET_BYTES]);
    secret.copy_from_slice(&number.to_be_bytes().as_slice()[U3072::BYTES - SECRET_BYTES..]);
    secret
}

fn first() -> Vector {
    vectors().into_iter().next().expect("the fixture has vectors")
}

#[test]
fn proofs_equal_those_of_the_javascript_client() {
    let vectors = vectors();
    assert!(vectors.len() >= 100);
    for vector in vectors {
        let handshake = vector.handshake();
        assert_eq!(handshake.public(), vector.srp_a, "{}", vector.kind);
        let proof = handshake.prove(vector.identity(), vector.server_values(), &vector.timestamp);
        assert_eq!(proof.as_deref(), Ok(vector.signature.as_str()), "{}", vector.kind);
    }
}

#[test]
fn public_values_that_are_multiples_of_the_modulus_are_refused() {
    let vector = first();
    let modulus = Integer::from_uint(Element::MODULUS.as_ref()).to_hex();
    for public in ["0", "000", modulus.as_str(), &modulus.to_uppercase()] {
        let server = ServerValues { public, ..vector.server_values() };
        let proof = vector.handshake().prove(vector.identity(), server, &vector.timestamp);
        assert_eq!(proof, Err(InvalidServerValue::Degenerate), "{public}");
    }
}

#[test]
fn malformed_server_values_are_refused_by_name() {
    let vector = first();
    let wide = format!("1{}", "0".repeat(768));
    let good = vector.server_values();
    for (server, refusal) in [
        (ServerValues { salt: "", ..good }, InvalidServerValue::Salt),
        (ServerValues { salt: "no", ..good }, InvalidServerValue::Salt),
        (ServerValues { public: "", ..good }, InvalidServerValue::Public),
        (ServerValues { public: "-1", ..good }, InvalidServerValue::Public),
        (ServerValues { public: &wide, ..good }, InvalidServerValue::Public),
        (ServerValues { secret_block: "%", ..good }, InvalidServerValue::SecretBlock),
    ] {
        let proof = vector.handshake().prove(vector.identity(), server, &vector.timestamp);
        assert_eq!(proof, Err(refusal));
    }
}

#[test]
fn a_negative_salt_gives_a_proof_that_the_server_may_refuse() {
    let vector = first();
    let server = ServerValues { salt: "-16e4", ..vector.server_values() };
    assert!(vector.handshake().prove(vector.identity(), server, &vector.timestamp).is_ok());
}

#[test]
fn timestamps_have_english_names_and_an_unpadded_day() {
    for (seconds, text) in [
        (0, "Thu Jan 1 00:00:00 UTC 1970"),
        (951_782_400, "Tue Feb 29 00:00:00 UTC 2000"),
        (1_793_610_307, "Mon Nov 2 09:05:07 UTC 2026"),
        (1_794_474_307, "Thu Nov 12 09:05:07 UTC 2026"),
        (1_798_761_599, "Thu Dec 31 23:59:59 UTC 2026"),
    ] {
        assert_eq!(timestamp(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)), text);
    }
}

#[test]
fn secret_hashes_cover_user_name_and_client_id() {
    // echo -n userclient | openssl dgst -sha256 -hmac secret -binary | base64
    assert_eq!(secret_hash("secret", "user", "client"), SECRET_HASH_BY_OPENSSL);
    assert_ne!(secret_hash("secret", "userc", "lient2"), SECRET_HASH_BY_OPENSSL);
}

const SECRET_HASH_BY_OPENSSL: &str = "wvW87lzZoI+qQCVGmWVBJLlucdJ65huAVP1z+0MgA6E=";

#[test]
fn debug_output_shows_no_secret() {
    let vector = first();
    assert_eq!(format!("{:?}", vector.handshake()), "Handshake { .. }");
    let device = DeviceSecret::new("group", "key", &Zeroizing::new([7; 40]), [1; 16]);
    assert_eq!(format!("{device:?}"), "DeviceSecret { .. }");
}

/// The same arithmetic by another library, written from the server's point of view where it can be.
#[cfg(feature = "sandbox")]
mod independent {
    use num_bigint::{BigInt, BigUint};
    use proptest::prelude::*;

    use super::*;

    fn modulus() -> BigUint {
        BigUint::from_bytes_be(Element::MODULUS.as_ref().to_be_bytes().as_slice())
    }

    fn padded(number: &BigUint) -> Vec<u8> {
        BigInt::from(number.clone()).to_signed_bytes_be()
    }

    fn hashed(parts: &[&[u8]]) -> BigUint {
        BigUint::from_bytes_be(&hash(parts))
    }

    fn number(hex: &str) -> BigUint {
        BigUint::parse_bytes(hex.as_bytes(), 16).expect("hexadecimal")
    }

    fn multiplier() -> BigUint {
        hashed(&[&padded(&modulus()), &[2]])
    }

    fn private(identity: Identity<'_>, salt: &BigUint) -> BigUint {
        let login = format!("{}{}:{}", identity.scope, identity.name, identity.password);
        hashed(&[&padded(salt), &hash(&[login.as_bytes()])])
    }

    fn verifier(identity: Identity<'_>, salt: &BigUint) -> BigUint {
        BigUint::from(2_u8).modpow(&private(identity, salt), &modulus())
    }

    fn signature(identity: Identity<'_>, scrambler: &BigUint, shared: &BigUint) -> String {
        let derived =
            authenticate(&*authenticate(&padded(scrambler), &[&padded(shared)]), &[DERIVED_KEY_INFO]);
        let parts: [&[u8]; 4] = [identity.scope.as_bytes(), identity.name.as_bytes(), b"block", b"now"];
        STANDARD.encode(*authenticate(&derived[..16], &parts))
    }

    fn proof(handshake: &Handshake, identity: Identity<'_>, salt: &BigUint, public: &BigUint) -> String {
        let server = ServerValues {
            salt: &salt.to_str_radix(16),
            public: &public.to_str_radix(16),
            secret_block: &STANDARD.encode("block"),
        };
        handshake.prove(identity, server, "now").expect("sound values")
    }

    /// What the client's formula gives for any `B`, honest or not.
    fn expected(secret: &[u8], identity: Identity<'_>, salt: &BigUint, public: &BigUint) -> String {
        let (modulus, exponent) = (modulus(), BigUint::from_bytes_be(secret));
        let own_public = BigUint::from(2_u8).modpow(&exponent, &modulus);
        let scrambler = hashed(&[&padded(&own_public), &padded(public)]);
        let masked = multiplier() * verifier(identity, salt) % &modulus;
        let base = (public % &modulus + &modulus - masked) % &modulus;
        let shared = base.modpow(&(exponent + &scrambler * private(identity, salt)), &modulus);
        signature(identity, &scrambler, &shared)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn an_honest_server_accepts_every_proof(
            secret in prop::array::uniform32(any::<u8>()),
            server_secret in prop::collection::vec(any::<u8>(), 1..64),
            salt in prop::collection::vec(any::<u8>(), 0..17),
            name in ".{0,24}",
            password in ".{0,24}",
        ) {
            let identity = Identity { scope: "Pool", name: &name, password: &password };
            let mut exponent = Zeroizing::new([0; SECRET_BYTES]);
            exponent[SECRET_BYTES - 32..].copy_from_slice(&secret);
            let handshake = Handshake::new(&exponent);
            let salt = BigUint::from_bytes_be(&salt);
            let (modulus, verifier) = (modulus(), verifier(identity, &salt));
            let server_secret = BigUint::from_bytes_be(&server_secret);
            let server_public =
                (multiplier() * &verifier + BigUint::from(2_u8).modpow(&server_secret, &modulus)) % &modulus;
            let client_public = number(&handshake.public());
            let scrambler = hashed(&[&padded(&client_public), &padded(&server_public)]);
            let shared =
                (client_public * verifier.modpow(&scrambler, &modulus)).modpow(&server_secret, &modulus);
            prop_assert_eq!(
                proof(&handshake, identity, &salt, &server_public),
                signature(identity, &scrambler, &shared)
            );
        }
    }

    #[test]
    fn edges_of_every_number_are_padded_alike() {
        let identity = Identity { scope: "Pool", name: "user", password: "pässword" };
        let modulus = modulus();
        let one = BigUint::from(1_u8);
        let salts =
            [number("0"), number("7f"), number("80"), number("ff00"), &one << 127_u32, &one << 120_u32];
        let publics = [
            one.clone(),
            number("80"),
            &one << 3056_u32,
            (&one << 3064_u32) - &one,
            &one << 3071_u32,
            &modulus - &one,
            &modulus + &one,
            (&one << 3072_u32) - &one,
        ];
        let small = [1_u8, 2, 7, 255].map(|last| {
            let mut secret = [0; SECRET_BYTES];
            secret[SECRET_BYTES - 1] = last;
            secret
        });
        let secrets = [[0xff; SECRET_BYTES], [0x80; SECRET_BYTES]].into_iter().chain(small);
        for (index, secret) in secrets.enumerate() {
            let salt = &salts[index % salts.len()];
            let handshake = Handshake::new(&Zeroizing::new(secret));
            let masked = multiplier() * verifier(identity, salt) % &modulus;
            // Bases whose powers, and so S, are 0, 1, and small enough to have leading zero bytes.
            let chosen = [BigUint::from(0_u8), one.clone()].map(|base| (masked.clone() + base) % &modulus);
            for public in publics.iter().chain(&chosen) {
                assert_eq!(
                    proof(&handshake, identity, salt, public),
                    expected(&secret, identity, salt, public),
                    "secret {index}, B {public:x}"
                );
            }
        }
    }

    #[test]
    fn device_verifiers_are_padded_and_match_their_password() {
        for last in 0..8_u8 {
            let salt =
                [if last % 2 == 0 { 0xf0 } else { 0 }, 0x90, 3, last, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
            let device = DeviceSecret::new("group", "eu-west-1_key", &Zeroizing::new([last; 40]), salt);
            assert_eq!(*device.password, STANDARD.encode([last; 40]));
            let identity = Identity { scope: "group", name: "eu-west-1_key", password: &device.password };
            let salt = BigUint::from_bytes_be(&salt);
            assert_eq!(device.salt, STANDARD.encode(padded(&salt)));
            assert_eq!(device.verifier, STANDARD.encode(padded(&verifier(identity, &salt))));
        }
    }
}
