//! The client's half of Secure Remote Password as Cognito computes it.
//!
//! It is SRP-6a over the 3072-bit group of RFC 5054 with generator 2 and SHA-256, where every
//! hashed number is padded as Java's `BigInteger` pads it and the session key comes out of HKDF.
//! Requests, the clock and random numbers are parameters.

mod device_secret;
mod integer;

use std::{fmt, sync::LazyLock, time::SystemTime};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use crypto_bigint::{
    BoxedUint, CtEq, U256, U512, U1024, U1280, U3072, Uint, const_monty_params,
    modular::{BoxedMontyForm, BoxedMontyParams, ConstMontyForm},
};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use time::{OffsetDateTime, format_description::BorrowedFormatItem, macros::format_description};
use zeroize::{Zeroize, Zeroizing};

pub(super) use device_secret::DeviceSecret;
use integer::Integer;

/// The random bytes of a handshake's secret exponent.
pub(super) const SECRET_BYTES: usize = 128;

/// The width of the exponent `a + u * x`: 1024 bits, and 512 that may carry into one more.
const EXPONENT_BITS: u32 = 1025;

const DERIVED_KEY_INFO: &[u8] = b"Caldera Derived Key\x01";
const DERIVED_KEY_BYTES: usize = 16;

const_monty_params!(
    Modulus,
    U3072,
    "FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74020BBEA63B139B22514A08798E3404DD\
     EF9519B3CD3A431B302B0A6DF25F14374FE1356D6D51C245E485B576625E7EC6F44C42E9A637ED6B0BFF5CB6F406B7ED\
     EE386BFB5A899FA5AE9F24117C4B1FE649286651ECE45B3DC2007CB8A163BF0598DA48361C55D39A69163FA8FD24CF5F\
     83655D23DCA3AD961C62F356208552BB9ED529077096966D670C354E4ABC9804F1746C08CA18217C32905E462E36CE3B\
     E39E772C180E86039B2783A2EC07A28FB5C55DF06F4C52C9DE2BCBF6955817183995497CEA956AE515D2261898FA0510\
     15728E5A8AAAC42DAD33170D04507A33A85521ABDF1CBA64ECFB850458DBEF0A8AEA71575D060C7DB3970F85A6E1E4C7\
     ABF5AE8CDB0933D71E8C94E04A25619DCEE3D2261AD2EE6BF12FFA06D98A0864D87602733EC86A64521F2B18177B200C\
     BBE117577A615D6C770988C0BAD946E208E24FA074E5AB3143DB5BFCE0FD108E4B82D120A93AD2CAFFFFFFFFFFFFFFFF",
    "The 3072-bit prime of RFC 5054."
);

type Element = ConstMontyForm<Modulus, { U3072::LIMBS }>;

const GENERATOR: Element = Element::new(&U3072::from_u8(2));

/// The modulus for [`power`].
static BOXED_MODULUS: LazyLock<BoxedMontyParams> =
    LazyLock::new(|| BoxedMontyParams::new_vartime(Element::MODULUS.into()));

/// SRP's `k`, the hash of modulus and generator.
static MULTIPLIER: LazyLock<Element> = LazyLock::new(|| {
    let modulus = Integer::from_uint(Element::MODULUS.as_ref());
    Element::new(&U256::from_be_slice(&hash(&[modulus.as_bytes(), &[2]])).resize())
});

/// The secret exponent of one attempt and its public value.
pub(super) struct Handshake {
    secret: Zeroizing<U1024>,
    public: Integer,
}

/// The name and password to prove: those of a user in a pool, or of a device in its group.
#[derive(Clone, Copy)]
pub(super) struct Identity<'a> {
    /// The pool's name, or the device's group key.
    pub(super) scope: &'a str,
    /// `USER_ID_FOR_SRP`, or the device key.
    pub(super) name: &'a str,
    /// The user's or the device's password.
    pub(super) password: &'a str,
}

/// The server's values, as PASSWORD_VERIFIER and DEVICE_PASSWORD_VERIFIER carry them.
#[derive(Clone, Copy, Debug)]
pub(super) struct ServerValues<'a> {
    pub(super) salt: &'a str,
    pub(super) public: &'a str,
    pub(super) secret_block: &'a str,
}

/// Server values that no honest server sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidServerValue {
    /// `SALT` is no hexadecimal number.
    Salt,
    /// `SRP_B` is no hexadecimal number of the group's width.
    Public,
    /// `SECRET_BLOCK` is not base64.
    SecretBlock,
    /// `SRP_B` is a multiple of the modulus, or hashes to a scrambler of zero: either would let
    /// the server accept without knowing the verifier.
    Degenerate,
}

impl Handshake {
    /// Starts an attempt with `secret` as its random exponent; it must not be used twice.
    pub(super) fn new(secret: &Zeroizing<[u8; SECRET_BYTES]>) -> Self {
        let secret = Zeroizing::new(U1024::from_be_slice(secret.as_slice()));
        let public = power(&GENERATOR, &*secret, U1024::BITS);
        Self { secret, public: Integer::from_uint(&public.retrieve()) }
    }

    /// `SRP_A`.
    pub(super) fn public(&self) -> String {
        self.public.to_hex()
    }

    /// `PASSWORD_CLAIM_SIGNATURE` for this `timestamp`, which goes along as `TIMESTAMP`.
    pub(super) fn prove(
        &self,
        identity: Identity<'_>,
        server: ServerValues<'_>,
        timestamp: &str,
    ) -> Result<String, InvalidServerValue> {
        let salt = Integer::from_hex(server.salt).ok_or(InvalidServerValue::Salt)?;
        let secret_block =
            STANDARD.decode(server.secret_block).map_err(|_| InvalidServerValue::SecretBlock)?;
        let key = self.session_key(identity, &salt, server.public)?;
        let signature = authenticate(
            key.as_slice(),
            &[identity.scope.as_bytes(), identity.name.as_bytes(), &secret_block, timestamp.as_bytes()],
        );
        Ok(STANDARD.encode(*signature))
    }

    fn session_key(
        &self,
        identity: Identity<'_>,
        salt: &Integer,
        server_public: &str,
    ) -> Result<Zeroizing<[u8; DERIVED_KEY_BYTES]>, InvalidServerValue> {
        let server_public = Integer::from_hex(server_public).ok_or(InvalidServerValue::Public)?;
        let server_element = Element::new(&server_public.to_uint().ok_or(InvalidServerValue::Public)?);
        let scrambler = hash(&[self.public.as_bytes(), server_public.as_bytes()]);
        let scrambler_number = U256::from_be_slice(&scrambler);
        let degenerate = server_element.ct_eq(&Element::ZERO).to_bool() || scrambler_number.is_zero_vartime();
        if degenerate {
            return Err(InvalidServerValue::Degenerate);
        }
        let shared = self.shared_secret(&server_element, &scrambler_number, &private_key(identity, salt));
        Ok(derive(&Integer::from_magnitude(&scrambler), &shared))
    }

    /// `(B - k * g^x) ^ (a + u * x)`.
    fn shared_secret(&self, server: &Element, scrambler: &U256, private: &U256) -> Zeroizing<Integer> {
        let verifier = Zeroizing::new(power(&GENERATOR, private, U256::BITS));
        let base = Zeroizing::new(server.sub(&MULTIPLIER.mul(&verifier)));
        let product: Zeroizing<U512> = Zeroizing::new(scrambler.concatenating_mul(private));
        let exponent: Zeroizing<U1280> =
            Zeroizing::new(self.secret.resize::<{ U1280::LIMBS }>().wrapping_add(&product.resize()));
        let shared = Zeroizing::new(power(&base, &*exponent, EXPONENT_BITS).retrieve());
        Zeroizing::new(Integer::from_uint(&shared))
    }
}

/// `base` to the power of the lowest `bits` of `exponent`, in constant time.
///
/// `ConstMontyForm` has such a method, but it is generic and therefore compiled in this crate, without optimisation in
/// a debug build. A handshake would take three times as long.
fn power<const LIMBS: usize>(base: &Element, exponent: &Uint<LIMBS>, bits: u32) -> Element {
    let exponent = Zeroizing::new(BoxedUint::from(exponent));
    let base = Zeroizing::new(BoxedMontyForm::new(BoxedUint::from(&base.retrieve()), &BOXED_MODULUS));
    let number = Zeroizing::new(Zeroizing::new(base.pow_bounded_exp(&exponent, bits)).retrieve());
    let bytes = Zeroizing::new(number.to_be_bytes());
    Element::new(&U3072::from_be_slice(&bytes))
}

/// `TIMESTAMP`: `Sun Nov 2 09:05:07 UTC 2026`.
///
/// Cognito reads other spellings too, but checks the signature over this one alone.
pub(super) fn timestamp(now: SystemTime) -> String {
    const FORMAT: &[BorrowedFormatItem<'_>] = format_description!(
        "[weekday repr:short] [month repr:short] [day padding:none] [hour]:[minute]:[second] UTC [year]"
    );
    OffsetDateTime::from(now).format(FORMAT).expect("a UTC time has all parts of the format")
}

/// `SECRET_HASH` of a user name for an app client with a secret.
pub(super) fn secret_hash(client_secret: &str, username: &str, client_id: &str) -> String {
    let hash = authenticate(client_secret.as_bytes(), &[username.as_bytes(), client_id.as_bytes()]);
    STANDARD.encode(*hash)
}

/// SRP's `x`.
fn private_key(identity: Identity<'_>, salt: &Integer) -> Zeroizing<U256> {
    let mut inner =
        hash(&[identity.scope.as_bytes(), identity.name.as_bytes(), b":", identity.password.as_bytes()]);
    let mut outer = hash(&[salt.as_bytes(), &inner]);
    let private = Zeroizing::new(U256::from_be_slice(&outer));
    inner.zeroize();
    outer.zeroize();
    private
}

/// HKDF-SHA256 with one block of output.
fn derive(scrambler: &Integer, shared: &Integer) -> Zeroizing<[u8; DERIVED_KEY_BYTES]> {
    let pseudorandom_key = authenticate(scrambler.as_bytes(), &[shared.as_bytes()]);
    let block = authenticate(pseudorandom_key.as_slice(), &[DERIVED_KEY_INFO]);
    let mut key = Zeroizing::new([0; DERIVED_KEY_BYTES]);
    key.copy_from_slice(&block[..DERIVED_KEY_BYTES]);
    key
}

fn hash(parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().into()
}

fn authenticate(key: &[u8], parts: &[&[u8]]) -> Zeroizing<[u8; 32]> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    for part in parts {
        mac.update(part);
    }
    Zeroizing::new(mac.finalize().into_bytes().into())
}

impl fmt::Debug for Handshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handshake").finish_non_exhaustive()
    }
}

impl fmt::Display for InvalidServerValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Salt => "SALT is no hexadecimal number",
            Self::Public => "SRP_B is no hexadecimal number of 3072 bits at most",
            Self::SecretBlock => "SECRET_BLOCK is not base64",
            Self::Degenerate => "SRP_B would make the proof worthless",
        })
    }
}

impl std::error::Error for InvalidServerValue {}

#[cfg(test)]
mod tests;
