//! Random numbers, the same for the same seed.

/// What is thrown.
pub(super) struct Dice(pub(super) u64);

impl Dice {
    /// `SplitMix64`.
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// From 0 to less than the limit.
    pub(super) fn below(&mut self, limit: u64) -> u64 {
        self.roll() % limit
    }

    /// One of so many.
    pub(super) fn choice(&mut self, count: u64) -> usize {
        usize::try_from(self.below(count)).expect("a small number")
    }

    /// Of a payload: often nothing or one byte, seldom hundreds of kilobytes.
    pub(super) fn size(&mut self) -> u64 {
        match self.below(10) {
            0 | 1 => 0,
            2 | 3 => 1,
            4..9 => self.below(8000),
            _ => self.below(300_000),
        }
    }
}
