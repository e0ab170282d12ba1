//! The description of a block.

use super::class::UNITS_BOUND;
use super::error::ConfigError;

/// Describes a block to [`Tlsf::new`](super::Tlsf::new).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Config {
    /// The size of the block in bytes. A remainder smaller than a granule is never handed out.
    pub size: u64,
    /// Every offset and size is a multiple of the granule, which is a power of two, in bytes.
    /// Device memory needs 16 to 4096. `size / granule` must be below 2³¹.
    pub granule: u64,
    /// The serial of the first allocation. If a block replaces another, pass the
    /// [`next_serial`](super::Tlsf::next_serial) of the old one, so that keys of the old block stay
    /// stale.
    pub first_serial: u32,
}

impl Config {
    /// A block of `size` bytes in granules of `granule` bytes, with serials from 0.
    pub const fn new(size: u64, granule: u64) -> Self {
        Self { size, granule, first_serial: 0 }
    }

    /// The smallest possible granule for a block of `size` bytes that is at least 16 bytes and at
    /// least `at_least` bytes.
    ///
    /// Up to 32 GiB this is the greater of 16 bytes and `at_least`. Pass in `at_least` what the
    /// memory requires, such as `nonCoherentAtomSize` if host caches are flushed explicitly.
    pub const fn granule_for(size: u64, at_least: u64) -> u64 {
        let mut granule = 16;
        while granule < at_least && granule < 1 << 63 {
            granule *= 2;
        }
        while size / granule >= UNITS_BOUND as u64 {
            granule *= 2;
        }
        granule
    }

    /// The number of granules in the block, and log2 of the granule.
    pub(super) const fn units(&self) -> Result<(u32, u32), ConfigError> {
        let Self { size, granule, .. } = *self;
        if !granule.is_power_of_two() {
            return Err(ConfigError::Granule { granule });
        }
        let units = size / granule;
        if units == 0 {
            return Err(ConfigError::TooSmall { size });
        }
        if units >= UNITS_BOUND as u64 {
            let granule = Self::granule_for(size, granule);
            return Err(ConfigError::TooManyGranules { size, granule });
        }
        Ok((units as u32, granule.trailing_zeros()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_granule_grows_with_the_block() {
        for (size, at_least, granule) in [
            (0, 0, 16),
            (1 << 20, 1, 16),
            (1 << 20, 64, 64),
            (1 << 20, 65, 128),
            ((1 << 35) - 1, 0, 16),
            (1 << 35, 0, 32),
            (1 << 40, 256, 1024),
            (1 << 43, 0, 8192),
            (u64::MAX, 0, 1 << 33),
            (u64::MAX, u64::MAX, 1 << 63),
        ] {
            assert_eq!(Config::granule_for(size, at_least), granule, "{size} {at_least}");
            assert!(size < granule || Config::new(size, granule).units().is_ok());
        }
    }

    #[test]
    fn a_block_that_cannot_be_cut_is_refused() {
        assert_eq!(Config::new(64, 0).units(), Err(ConfigError::Granule { granule: 0 }));
        assert_eq!(Config::new(64, 48).units(), Err(ConfigError::Granule { granule: 48 }));
        assert_eq!(Config::new(0, 16).units(), Err(ConfigError::TooSmall { size: 0 }));
        assert_eq!(Config::new(15, 16).units(), Err(ConfigError::TooSmall { size: 15 }));
        let size = 1 << 35;
        let refused = ConfigError::TooManyGranules { size, granule: 32 };
        assert_eq!(Config::new(size, 16).units(), Err(refused));
        assert_eq!(Config::new(size - 1, 16).units(), Ok(((1 << 31) - 1, 4)));
    }
}
