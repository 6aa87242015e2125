//! Big integers as Java's `BigInteger` writes them, which is what every hash of Cognito's SRP covers.

use crypto_bigint::U3072;
use zeroize::Zeroize;

/// The longest number that is parsed, in hexadecimal digits. The group's modulus has far fewer.
const MAX_DIGITS: usize = 4096;

/// An integer as `BigInteger.toByteArray` gives it: big-endian two's complement, as short as possible.
///
/// A positive number whose top bit is set therefore starts with a zero byte.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Integer(Vec<u8>);

impl Integer {
    /// Parses `BigInteger.toString(16)`: no leading zeros, so possibly an odd number of digits, and
    /// a minus sign for a negative number. Upper case and leading zeros are accepted as well.
    pub(super) fn from_hex(text: &str) -> Option<Self> {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, text),
        };
        if digits.is_empty() || digits.len() > MAX_DIGITS {
            return None;
        }
        let magnitude = Self::from_magnitude(&magnitude(digits)?);
        Some(if negative { magnitude.negated() } else { magnitude })
    }

    pub(super) fn from_magnitude(bytes: &[u8]) -> Self {
        let start = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len());
        let significant = &bytes[start..];
        let mut padded = Vec::with_capacity(significant.len() + 1);
        if significant.first().is_none_or(|byte| byte & 0x80 != 0) {
            padded.push(0);
        }
        padded.extend_from_slice(significant);
        Self(padded)
    }

    pub(super) fn from_uint(number: &U3072) -> Self {
        let mut bytes = number.to_be_bytes();
        let integer = Self::from_magnitude(bytes.as_slice());
        bytes.zeroize();
        integer
    }

    /// The number, unless it is negative or wider than the group's modulus.
    pub(super) fn to_uint(&self) -> Option<U3072> {
        let magnitude = match self.0.as_slice() {
            [first, ..] if first & 0x80 != 0 => return None,
            [0, rest @ ..] => rest,
            all => all,
        };
        let mut wide = [0; U3072::BYTES];
        let start = wide.len().checked_sub(magnitude.len())?;
        wide[start..].copy_from_slice(magnitude);
        Some(U3072::from_be_slice(&wide))
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// `BigInteger.toString(16)` of a number that is not negative, except for leading zeros.
    pub(super) fn to_hex(&self) -> String {
        let mut text = String::with_capacity(self.0.len() * 2);
        for byte in &self.0 {
            text.push(char::from_digit(u32::from(byte >> 4), 16).unwrap_or('0'));
            text.push(char::from_digit(u32::from(byte & 15), 16).unwrap_or('0'));
        }
        let significant = text.trim_start_matches('0');
        if significant.is_empty() { "0".to_owned() } else { significant.to_owned() }
    }

    fn negated(self) -> Self {
        let mut bytes = self.0;
        let mut carry = true;
        for byte in bytes.iter_mut().rev() {
            let (sum, overflow) = (!*byte).overflowing_add(u8::from(carry));
            (*byte, carry) = (sum, overflow);
        }
        if let [0xff, next, ..] = bytes.as_slice()
            && next & 0x80 != 0
        {
            bytes.remove(0);
        }
        Self(bytes)
    }
}

impl Zeroize for Integer {
    fn zeroize(&mut self) {
        self.0.zeroize();
    }
}

fn magnitude(digits: &str) -> Option<Vec<u8>> {
    let nibbles: Vec<u8> =
        digits.chars().map(|digit| digit.to_digit(16).map(|value| value as u8)).collect::<Option<_>>()?;
    let (lone, pairs) = nibbles.split_at(nibbles.len() % 2);
    Some(lone.iter().copied().chain(pairs.chunks_exact(2).map(|pair| (pair[0] << 4) | pair[1])).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_java_writes_them() {
        for (text, bytes) in [
            ("0", &[0][..]),
            ("000", &[0]),
            ("1", &[1]),
            ("7f", &[0x7f]),
            ("80", &[0, 0x80]),
            ("0080", &[0, 0x80]),
            ("fFf", &[0x0f, 0xff]),
            ("ABCD", &[0, 0xab, 0xcd]),
            ("-0", &[0]),
            ("-1", &[0xff]),
            ("-7f", &[0x81]),
            ("-80", &[0x80]),
            ("-81", &[0xff, 0x7f]),
            ("-100", &[0xff, 0x00]),
            ("-8000", &[0x80, 0x00]),
        ] {
            let integer = Integer::from_hex(text).expect(text);
            assert_eq!(integer.as_bytes(), bytes, "{text}");
        }
    }

    #[test]
    fn invalid_numbers_are_refused() {
        for text in ["", "-", "--1", "xyz", "0x10", "1 2", "+1", "é"] {
            assert!(Integer::from_hex(text).is_none(), "{text}");
        }
        assert!(Integer::from_hex(&"f".repeat(MAX_DIGITS + 1)).is_none());
    }

    #[test]
    fn only_numbers_of_the_modulus_width_enter_the_arithmetic() {
        assert!(Integer::from_hex("-1").expect("hex").to_uint().is_none());
        assert!(Integer::from_hex(&format!("1{}", "0".repeat(768))).expect("hex").to_uint().is_none());
        let widest = Integer::from_hex(&"f".repeat(768)).expect("hex");
        assert_eq!(widest.to_uint(), Some(U3072::MAX));
        assert_eq!(widest.to_hex(), "f".repeat(768));
        assert_eq!(Integer::from_hex("0").expect("hex").to_uint(), Some(U3072::ZERO));
    }
}
