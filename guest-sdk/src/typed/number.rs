//! Whole numbers. They travel as doubles, so each one is exact or refused, in both directions.

use super::{InputValue, OutputValue};
use crate::call::WHOLE_MAX;
use crate::{Call, Failure, Value, ValueType};

macro_rules! whole_numbers {
    ($($number:ty),*) => {$(
        impl InputValue for $number {
            const TYPE: ValueType = ValueType::Number;

            fn read(call: &Call, name: &str) -> Result<$number, Failure> {
                let given = call.integer(name)?;
                <$number>::try_from(given).map_err(|_| {
                    let (least, most) = (<$number>::MIN, <$number>::MAX);
                    let message = format!("expected a whole number from {least} to {most}, found {given}");
                    Failure::invalid_input(name, message)
                })
            }
        }

        impl OutputValue for $number {
            const TYPE: ValueType = ValueType::Number;

            fn write(self) -> Result<Value, String> {
                match i64::try_from(self) {
                    Ok(whole) if whole.unsigned_abs() <= WHOLE_MAX => {
                        #[expect(clippy::cast_precision_loss, reason = "within 2^53, as checked above")]
                        Ok(Value::Number(whole as f64))
                    }
                    _ => Err(format!(
                        "is {self}, which a number cannot hold exactly; make it a `String`"
                    )),
                }
            }
        }
    )*};
}

whole_numbers!(i8, i16, i32, i64, isize, u8, u16, u32, u64, usize);
