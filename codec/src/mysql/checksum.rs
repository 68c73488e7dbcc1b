//! The checksum at the end of every event: CRC-32 (IEEE) over all its bytes before the last four.

use super::error::EventError;

/// What an event ends with. FORMAT_DESCRIPTION tells it for the events that follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Checksum {
    #[default]
    None,
    Crc32,
}

/// Length of a CRC-32 at the end of an event.
pub const CHECKSUM_BYTES: usize = 4;

impl Checksum {
    /// The algorithm's number in FORMAT_DESCRIPTION: 0 none, 1 CRC-32.
    pub fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::None),
            1 => Some(Self::Crc32),
            _ => None,
        }
    }

    /// How many bytes it takes at the end of an event.
    pub fn len_bytes(self) -> usize {
        match self {
            Self::None => 0,
            Self::Crc32 => CHECKSUM_BYTES,
        }
    }

    /// The event without its checksum, once that has been found right.
    ///
    /// # Errors
    /// [`EventError::Truncated`] when it is shorter than a checksum, [`EventError::Checksum`] when it does not match.
    #[inline]
    pub fn verify(self, event: &[u8]) -> Result<&[u8], EventError> {
        match self {
            Self::None => Ok(event),
            Self::Crc32 => {
                let Some((covered, stored)) = event.split_last_chunk::<CHECKSUM_BYTES>() else {
                    return Err(EventError::Truncated {
                        what: "event",
                        field: "checksum",
                        offset: 0,
                        needed: CHECKSUM_BYTES as u64,
                        left: event.len(),
                    });
                };
                let stored = u32::from_le_bytes(*stored);
                let computed = crc32fast::hash(covered);
                if stored == computed {
                    Ok(covered)
                } else {
                    let type_code = covered.get(4).copied().unwrap_or(0);
                    Err(EventError::Checksum { type_code, stored, computed })
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_is_noticed() {
        let mut event = b"an event of some bytes".to_vec();
        event.extend(crc32fast::hash(&event).to_le_bytes());
        assert_eq!(Checksum::Crc32.verify(&event).unwrap(), b"an event of some bytes");
        for bit in 0..event.len() * 8 {
            let mut damaged = event.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(Checksum::Crc32.verify(&damaged).is_err(), "bit {bit}");
        }
        assert!(Checksum::Crc32.verify(&[1, 2, 3]).is_err());
        assert_eq!(Checksum::None.verify(&[1, 2, 3]).unwrap(), [1, 2, 3]);
    }
}
