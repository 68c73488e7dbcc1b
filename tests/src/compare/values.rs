//! Values of delivered rows against the values that the corpus states.

use std::net::{Ipv4Addr, Ipv6Addr};

use serde_json::{Value, json};

/// `expect` as the corpus states it (its README), `value` as the JSON lines have it.
pub(super) fn value_agrees(expect: &Value, value: &Value) -> bool {
    let text = |key: &str| expect[key].as_str().unwrap_or_default();
    match expect["k"].as_str() {
        None => expect.is_null() && value.is_null(),
        Some("int" | "bit") => value.as_number().is_some_and(|number| number.to_string() == text("v")),
        // a number: 0000 prints as 0
        Some("year") => value.as_u64().is_some_and(|year| format!("{year:04}") == text("v")),
        Some("dec" | "text" | "json" | "date" | "time" | "datetime" | "timestamp" | "enum" | "set") => {
            value.as_str() == Some(text("v"))
        }
        Some("f32") => u32::from_str_radix(text("bits"), 16).is_ok_and(|bits| is_shortest_f32(value, bits)),
        Some("f64") => u64::from_str_radix(text("bits"), 16)
            .is_ok_and(|bits| value.as_f64().is_some_and(|value| value.to_bits() == bits)),
        Some("bytes") => *value == json!({"hex": text("hex")}) || is_address_or_uuid(value, text("hex")),
        // a file of MariaDB does not tell it from a VARBINARY
        Some("vector") if value.is_object() => {
            let hex_of = |bits: &u32| bits.to_le_bytes().map(|byte| format!("{byte:02x}")).concat();
            elements(&expect["v"]).is_some_and(|v| value["hex"] == v.iter().map(hex_of).collect::<String>())
        }
        Some("vector") => elements(value).is_some_and(|is| elements(&expect["v"]).is_some_and(|v| v == is)),
        Some(_) => false,
    }
}

/// The shortest digits that give this float back; those of the double of the same value are more.
fn is_shortest_f32(value: &Value, bits: u32) -> bool {
    let shortest = f32::from_bits(bits).to_string().parse::<f64>();
    shortest.is_ok_and(|shortest| value.as_f64().is_some_and(|value| value.to_bits() == shortest.to_bits()))
}

fn elements(value: &Value) -> Option<Vec<u32>> {
    value.as_array()?.iter().map(|element| Some((element.as_f64()? as f32).to_bits())).collect()
}

/// INET4, INET6 and UUID are text where it is known that they are no BINARY columns.
pub(super) fn is_address_or_uuid(value: &Value, hex: &str) -> bool {
    let Some(text) = value.as_str() else { return false };
    let hex_of = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    match hex.len() {
        8 => text.parse::<Ipv4Addr>().is_ok_and(|address| hex_of(&address.octets()) == hex),
        32 => {
            text.parse::<Ipv6Addr>().is_ok_and(|address| hex_of(&address.octets()) == hex)
                || text.len() == 36 && text.replace('-', "") == hex
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_agrees_only_in_its_own_form() {
        let check = |expect: Value, agreeing: &[Value], others: &[Value]| {
            for value in agreeing {
                assert!(value_agrees(&expect, value), "{expect} {value}");
            }
            for value in others {
                assert!(!value_agrees(&expect, value), "{expect} {value}");
            }
        };
        check(json!(null), &[json!(null)], &[json!(0), json!(""), json!(false)]);
        check(
            json!({"k": "int", "v": "18446744073709551615"}),
            &[json!(u64::MAX)],
            &[json!(-1), json!("18446744073709551615"), json!(null)],
        );
        check(json!({"k": "bit", "v": "5", "width": 3}), &[json!(5)], &[json!("5"), json!(4)]);
        check(json!({"k": "year", "v": "0000"}), &[json!(0)], &[json!("0000"), json!(null), json!(2000)]);
        check(json!({"k": "dec", "v": "1.50"}), &[json!("1.50")], &[json!("1.5"), json!(1.5)]);
        check(json!({"k": "text", "v": ""}), &[json!("")], &[json!(null), json!({"hex": ""})]);
        check(json!({"k": "time", "v": "-838:59:59.000"}), &[json!("-838:59:59.000")], &[json!("-838:59:59")]);
        check(json!({"k": "enum", "i": 2, "v": "b"}), &[json!("b")], &[json!(2)]);
        check(json!({"k": "set", "mask": "3", "v": "a,b"}), &[json!("a,b")], &[json!(["a", "b"]), json!("b,a")]);
        check(
            json!({"k": "bytes", "hex": "00ff"}),
            &[json!({"hex": "00ff"})],
            &[json!({"hex": "00FF"}), json!("00ff"), json!({"hex": "00"})],
        );
        check(
            json!({"k": "bytes", "hex": "7f000001"}),
            &[json!("127.0.0.1"), json!({"hex": "7f000001"})],
            &[json!("127.0.0.2")],
        );
        check(
            json!({"k": "bytes", "hex": "00000000000000000000000000000001"}),
            &[json!("::1"), json!("00000000-0000-0000-0000-000000000001")],
            &[json!("::2"), json!("00000000-0000-0000-0000-000000000002")],
        );
        check(
            json!({"k": "f32", "v": "0.1", "bits": "3dcccccd"}),
            &[json!(0.1)],
            &[json!(0.10000000149011612), json!("0.1")],
        );
        check(
            json!({"k": "f64", "v": "0.1", "bits": "3fb999999999999a"}),
            &[json!(0.1)],
            &[json!(0.10000000000000002)],
        );
        check(
            json!({"k": "vector", "v": [1.0, -2.5]}),
            &[json!([1, -2.5]), json!({"hex": "0000803f000020c0"})],
            &[json!([1]), json!([1, 2.5]), json!(null), json!({"hex": "0000803f"})],
        );
    }
}
