//! Big integers of 3,072 bits; the largest need, 769 digits against a power of five, is 2,640.

use core::cmp::Ordering;

#[derive(Clone)]
pub struct Big {
    used: usize,
    limbs: [u32; 96],
}

impl Big {
    pub fn new(value: u64) -> Big {
        let mut limbs = [0; 96];
        limbs[0] = value as u32;
        limbs[1] = (value >> 32) as u32;
        Big { used: if value >> 32 != 0 { 2 } else { (value != 0) as usize }, limbs }
    }

    pub fn times_plus(&mut self, factor: u32, addend: u32) {
        let mut carry = addend as u64;
        for limb in self.limbs.iter_mut().take(self.used) {
            carry += *limb as u64 * factor as u64;
            *limb = carry as u32;
            carry >>= 32;
        }
        if let (true, Some(limb)) = (carry != 0, self.limbs.get_mut(self.used)) {
            *limb = carry as u32;
            self.used += 1;
        }
    }

    /// Compares self × 10^tens with other × 2^twos.
    pub fn compare(mut self, tens: i64, mut other: Big, twos: i64) -> Ordering {
        if tens > 0 {
            self.times_five(tens);
        } else {
            other.times_five(-tens);
        }
        if tens > twos {
            self.shift(tens - twos);
        } else {
            other.shift(twos - tens);
        }
        let limbs = self.limbs.iter().zip(&other.limbs).rev();
        limbs.map(|(a, b)| a.cmp(b)).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
    }

    fn times_five(&mut self, mut power: i64) {
        while power >= 13 {
            self.times_plus(1_220_703_125, 0);
            power -= 13;
        }
        for _ in 0..power {
            self.times_plus(5, 0);
        }
    }

    fn shift(&mut self, mut bits: i64) {
        while bits >= 31 {
            self.times_plus(1 << 31, 0);
            bits -= 31;
        }
        self.times_plus(1 << bits, 0);
    }
}
