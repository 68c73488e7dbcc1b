//! Integers of one to eight bytes: BIT is big-endian in a row image, ENUM and SET are little-endian.

/// `bytes` as one number, the first byte highest; of more than eight the last eight count.
#[inline]
pub fn big_endian(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |number, &byte| number << 8 | u64::from(byte))
}

/// `bytes` as one number, the first byte lowest; of more than eight the first eight count.
#[inline]
pub fn little_endian(bytes: &[u8]) -> u64 {
    bytes.iter().take(8).rev().fold(0, |number, &byte| number << 8 | u64::from(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_orders() {
        assert_eq!(big_endian(&[1, 2, 3]), 0x01_02_03);
        assert_eq!(little_endian(&[1, 2, 3]), 0x03_02_01);
        assert_eq!(big_endian(&[0xff; 8]), u64::MAX);
        assert_eq!(little_endian(&[0xff; 8]), u64::MAX);
        assert_eq!((big_endian(&[]), little_endian(&[])), (0, 0));
    }
}
