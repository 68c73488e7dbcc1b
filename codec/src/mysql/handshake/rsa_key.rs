//! The password under the server's RSA key, as caching_sha2_password wants it without TLS.
//!
//! `mysql_common` encrypts; its reader of keys trusts every length in them, so the key's structure is walked here
//! first: a PEM block of base64, in it DER (SubjectPublicKeyInfo, or the plain RSAPublicKey).

use super::LoginError;

const PEM_BYTES_MAX: usize = 16 * 1024;
const MODULUS_BYTES: std::ops::RangeInclusive<usize> = 128..=1024;
const EXPONENT_BYTES_MAX: usize = 8;
/// What OAEP with SHA-1 takes of a block.
const PADDING_BYTES: usize = 2 * 20 + 2;

const SEQUENCE: u8 = 0x30;
const BIT_STRING: u8 = 0x03;
const INTEGER: u8 = 0x02;

/// The answer to send.
pub(super) fn encrypt(pem: &[u8], password: &[u8], scramble: &[u8]) -> Result<Vec<u8>, LoginError> {
    let bad = |reason: &str| LoginError::PublicKey(reason.to_owned());
    // The server sends a zero byte or line breaks behind it.
    let pem = pem.trim_ascii_end().strip_suffix(&[0]).unwrap_or(pem).trim_ascii();
    let modulus_bytes = modulus_bytes(pem).map_err(bad)?;
    if scramble.is_empty() || password.len() + 1 + PADDING_BYTES > modulus_bytes {
        return Err(bad("the password is too long for it"));
    }
    let hidden: Vec<u8> = password.iter().chain(&[0]).zip(scramble.iter().cycle()).map(|(a, b)| a ^ b).collect();
    mysql_common::crypto::encrypt(&hidden, pem).map_err(|error| LoginError::PublicKey(error.to_string()))
}

/// Length of the key's modulus, once every length in it has been found right.
fn modulus_bytes(pem: &[u8]) -> Result<usize, &'static str> {
    if pem.len() > PEM_BYTES_MAX {
        return Err("it is longer than 16 KiB");
    }
    let between = |begin: &[u8], end: &[u8]| pem.strip_prefix(begin).and_then(|rest| rest.strip_suffix(end));
    let spki = between(b"-----BEGIN PUBLIC KEY-----", b"-----END PUBLIC KEY-----");
    let plain = between(b"-----BEGIN RSA PUBLIC KEY-----", b"-----END RSA PUBLIC KEY-----");
    let der = base64(spki.or(plain).ok_or("it is not one PEM block")?).ok_or("its base64 is damaged")?;
    let key = if spki.is_some() {
        let (info, _) = element(&der, SEQUENCE)?;
        let (_algorithm, rest) = element(info, SEQUENCE)?;
        let (bits, _) = element(rest, BIT_STRING)?;
        bits.strip_prefix(&[0]).ok_or("its bit string is damaged")?
    } else {
        &der
    };
    let (numbers, _) = element(key, SEQUENCE)?;
    let (modulus, rest) = element(numbers, INTEGER)?;
    let (exponent, _) = element(rest, INTEGER)?;
    let modulus = significant(modulus);
    let exponent = significant(exponent);
    // Even moduli are no RSA; a top bit that is clear would shift the block's length.
    let is_sound =
        modulus.first().is_some_and(|byte| byte & 0x80 != 0) && modulus.last().is_some_and(|byte| byte & 1 == 1);
    if !is_sound || !MODULUS_BYTES.contains(&modulus.len()) {
        return Err("its modulus is not of 1024 to 8192 bits");
    }
    if exponent.is_empty() || exponent.len() > EXPONENT_BYTES_MAX {
        return Err("its exponent is out of range");
    }
    Ok(modulus.len())
}

fn significant(number: &[u8]) -> &[u8] {
    let zeroes = number.iter().take_while(|byte| **byte == 0).count();
    number.get(zeroes..).unwrap_or_default()
}

/// The content of a DER element of this tag, and what follows it.
fn element(der: &[u8], tag: u8) -> Result<(&[u8], &[u8]), &'static str> {
    const DAMAGED: &str = "its DER is damaged";
    let rest = der.strip_prefix(&[tag]).ok_or(DAMAGED)?;
    let (first, rest) = rest.split_first().ok_or(DAMAGED)?;
    let (length, rest) = match first {
        short @ 0..=0x7f => (usize::from(*short), rest),
        0x81 | 0x82 => {
            let (length, rest) = rest.split_at_checked(usize::from(first & 0x7f)).ok_or(DAMAGED)?;
            (length.iter().fold(0, |value, byte| value << 8 | usize::from(*byte)), rest)
        }
        _ => return Err(DAMAGED),
    };
    rest.split_at_checked(length).ok_or(DAMAGED)
}

/// Standard base64 with padding; blanks and line breaks are skipped, anything else is an error.
fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let symbols: Vec<u8> = text.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    if !symbols.len().is_multiple_of(4) {
        return None;
    }
    let digits = symbols.strip_suffix(b"==").or_else(|| symbols.strip_suffix(b"=")).unwrap_or(&symbols);
    let mut out = Vec::with_capacity(digits.len() / 4 * 3 + 2);
    for group in digits.chunks(4) {
        let mut word = 0u32;
        for symbol in group {
            let digit = match symbol {
                b'A'..=b'Z' => symbol - b'A',
                b'a'..=b'z' => symbol - b'a' + 26,
                b'0'..=b'9' => symbol - b'0' + 52,
                b'+' => 62,
                b'/' => 63,
                _ => return None,
            };
            word = word << 6 | u32::from(digit);
        }
        word <<= 6 * (4 - group.len());
        let [_, bytes @ ..] = word.to_be_bytes();
        out.extend(bytes.iter().take(group.len() * 3 / 4));
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &[u8] = include_bytes!("../../../tests/data/public_key.pem");

    #[test]
    fn a_servers_key_encrypts() {
        assert_eq!(modulus_bytes(KEY.trim_ascii()).unwrap(), 256);
        for tail in [&b""[..], b"\n", b"\0"] {
            let answer = encrypt(&[KEY, tail].concat(), b"secret", &[7; 20]).unwrap();
            assert_eq!(answer.len(), 256);
        }
        assert!(encrypt(KEY, &[b'x'; 213], &[7; 20]).is_ok());
        assert!(encrypt(KEY, &[b'x'; 214], &[7; 20]).is_err());
    }

    /// Whatever is changed, it is an error or a key, never a panic.
    #[test]
    fn damaged_keys_never_panic() {
        for length in 0..KEY.len() {
            let _ = encrypt(&KEY[..length], b"secret", &[7; 20]);
        }
        for at in 0..KEY.len() {
            for value in [b'A', b'/', b'=', b'-', b'g', 0, 0xff] {
                let mut damaged = KEY.to_vec();
                damaged[at] = value;
                // The big exponentiation is only worth a part of them.
                if at < 120 || at % 16 == 0 {
                    let _ = encrypt(&damaged, b"secret", &[7; 20]);
                } else {
                    let _ = modulus_bytes(damaged.trim_ascii());
                }
            }
        }
        assert!(encrypt(&[b'-'; 20_000], b"x", &[7; 20]).is_err());
        assert!(encrypt(b"", b"x", &[7; 20]).is_err());
    }

    #[test]
    fn base64_of_every_length() {
        for (text, bytes) in
            [("", &b""[..]), ("Zg==", b"f"), ("Zm8=", b"fo"), ("Zm9v", b"foo"), ("Zm9v\nYmFy", b"foobar")]
        {
            assert_eq!(base64(text.as_bytes()).unwrap(), bytes);
        }
        for wrong in ["Z", "Zg", "Zg=", "Z*==", "Zg==Zg=="] {
            assert!(base64(wrong.as_bytes()).is_none(), "{wrong}");
        }
    }
}
