//! A sum of floats that is exact until it is rounded once, so that it does not depend on the order of adding.
//!
//! Documents lie in segments and shards as it happened; two nodes at the same positions must give the same sum. The number
//! is kept in fixed point, wide enough for every `f64` (Kulisch's accumulator).

/// Bits of a limb that carry value; the rest of its `i64` takes carries until they are moved on.
const LIMB_BITS: usize = 32;
const LIMB_MASK: i64 = u32::MAX as i64;

/// The unit is the least `f64`, 2^-1074; the greatest ends at bit 2,098, and 2^64 of it fit.
const LIMBS: usize = 68;
const UNIT_EXPONENT: i32 = -1074;

/// Each adds less than 2^32 to a limb, so that so many cannot overflow it.
const ADDED_MAX: u32 = 1 << 30;

#[derive(Clone, Debug)]
pub(super) struct ExactSum {
    limbs: [i64; LIMBS],
    /// Since the carries were moved on.
    added: u32,
}

impl Default for ExactSum {
    fn default() -> ExactSum {
        ExactSum {
            limbs: [0; LIMBS],
            added: 0,
        }
    }
}

impl ExactSum {
    /// Adds a finite number.
    pub fn add(&mut self, value: f64) {
        let bits = value.to_bits();
        let exponent = (bits >> 52 & 0x7ff) as usize;
        let fraction = bits & ((1 << 52) - 1);
        let mantissa = match exponent {
            0 => fraction,
            _ => fraction | 1 << 52,
        };
        let shift = exponent.max(1) - 1;
        let wide = u128::from(mantissa) << (shift % LIMB_BITS);
        let sign = if value.is_sign_negative() { -1 } else { 1 };
        for (i, limb) in self.limbs.iter_mut().skip(shift / LIMB_BITS).take(3).enumerate() {
            *limb += sign * i64::from((wide >> (LIMB_BITS * i)) as u32);
        }
        self.added += 1;
        if self.added == ADDED_MAX {
            self.carry();
        }
    }

    /// Moves carries on: then all limbs but the last are 0 to 2^32, and the last has the sign.
    fn carry(&mut self) {
        let mut carry = 0;
        for limb in &mut self.limbs[..LIMBS - 1] {
            let sum = *limb + carry;
            *limb = sum & LIMB_MASK;
            carry = sum >> LIMB_BITS;
        }
        self.limbs[LIMBS - 1] += carry;
        self.added = 0;
    }

    /// The nearest `f64`; infinite where there is none.
    pub fn value(&self) -> f64 {
        let mut sum = self.clone();
        sum.carry();
        let is_negative = sum.limbs[LIMBS - 1] < 0;
        if is_negative {
            sum.limbs.iter_mut().for_each(|limb| *limb = -*limb);
            sum.carry();
        }
        let Some(highest) = sum.limbs.iter().rposition(|limb| *limb != 0) else {
            return 0.0;
        };
        let lowest = highest.saturating_sub(2);
        let mut top = 0u128;
        for limb in sum.limbs[lowest..=highest].iter().rev() {
            top = top << LIMB_BITS | *limb as u128;
        }
        // More than 64 bits are there, so what lies below decides only between two that are equally near.
        top |= u128::from(sum.limbs[..lowest].iter().any(|limb| *limb != 0));
        let magnitude = top as f64 * power_of_two((lowest * LIMB_BITS) as i32 + UNIT_EXPONENT);
        if is_negative { -magnitude } else { magnitude }
    }
}

/// Exact, down to the least `f64`.
fn power_of_two(exponent: i32) -> f64 {
    match exponent {
        ..-1022 => f64::from_bits(1 << (exponent - UNIT_EXPONENT)),
        _ => f64::from_bits(((exponent + 1023) as u64) << 52),
    }
}

#[cfg(test)]
mod tests {
    use bigdecimal::{BigDecimal, FromPrimitive, ToPrimitive};
    use proptest::prelude::*;

    use super::*;

    fn sum(values: &[f64]) -> f64 {
        let mut sum = ExactSum::default();
        values.iter().for_each(|value| sum.add(*value));
        sum.value()
    }

    #[test]
    fn what_floats_forget_is_kept() {
        assert_eq!(sum(&[]), 0.0);
        assert_eq!(sum(&[1e300, 1.0, -1e300]), 1.0);
        assert_eq!(sum(&[0.1; 10]), 1.0);
        assert_eq!(sum(&[f64::MAX, f64::MAX, -f64::MAX]), f64::MAX);
        assert_eq!(sum(&[f64::MAX, f64::MAX]), f64::INFINITY);
        assert_eq!(sum(&[f64::from_bits(1), f64::from_bits(1)]), f64::from_bits(2));
        assert_eq!(
            sum(&[-f64::MIN_POSITIVE, f64::from_bits(1)]),
            -(f64::MIN_POSITIVE.next_down())
        );
        assert_eq!(sum(&[2f64.powi(53), 1.0, f64::from_bits(1)]), 2f64.powi(53) + 2.0);
    }

    proptest! {
        #[test]
        fn a_sum_is_that_of_the_decimals(values in proptest::collection::vec(-1e12f64..1e12, 0..60)) {
            let exact: BigDecimal = values.iter().filter_map(|value| BigDecimal::from_f64(*value)).sum();
            let exact = exact.to_f64().unwrap();
            let ours = sum(&values);
            // The other library rounds by way of decimal digits.
            prop_assert!((ours - exact).abs() <= exact.abs() * f64::EPSILON, "{ours} is not {exact}");
            let mut reversed = values;
            reversed.reverse();
            prop_assert_eq!(sum(&reversed).to_bits(), ours.to_bits());
        }
    }
}
