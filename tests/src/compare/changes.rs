//! Delivered changes against the changes that the corpus states, in the order of delivery.

use std::collections::HashMap;

use serde_json::json;

use super::line::RowLine;
use crate::harness::RowEvent;

/// The first thing that differs: an operation, a table, an image to the key, a bound between two transactions, or an
/// ordinal of a row. `expected` may hold what must not be delivered (`rolled_back_xa`); it is left out here.
pub fn change_complaint(expected: &[&RowEvent], rows: &[RowLine]) -> Option<String> {
    let expected: Vec<&RowEvent> = expected.iter().filter(|change| !change.rolled_back_xa).copied().collect();
    // the ordinal of the next row, by table, of the transaction that the rows are in
    let mut next_row: HashMap<&str, u64> = HashMap::new();
    for (at, row) in rows.iter().enumerate() {
        let (Some(change), before) = (expected.get(at), at.checked_sub(1)) else {
            return Some(format!("after {at} expected changes came {}", shown(row)));
        };
        let same = row.op == change.op
            && row.database == change.database
            && row.table == change.table
            && row.before == change.before
            && row.after == change.after;
        if !same {
            let wanted =
                json!({"op": change.op, "table": change.table, "before": change.before, "after": change.after});
            return Some(format!("change {at}: got {}, expected {wanted}", shown(row)));
        }
        if let Some(before) = before {
            let (was, is) = (rows[before].tx, row.tx);
            let goes_on = expected[before].transaction == change.transaction;
            if if goes_on { was != is } else { was >= is } {
                let rule = if goes_on { "the same transaction goes on" } else { "a later transaction begins" };
                return Some(format!("change {at}: tx {was} is followed by {is}, but {rule}: {}", shown(row)));
            }
            if !goes_on {
                next_row.clear();
            }
        }
        let ordinal = next_row.entry(&row.table).or_default();
        if row.row != *ordinal {
            return Some(format!("change {at}: row {} where {ordinal} is due: {}", row.row, shown(row)));
        }
        *ordinal += 1;
    }
    let missing = expected.get(rows.len())?;
    let what = json!({"op": missing.op, "table": missing.table, "before": missing.before, "after": missing.after});
    Some(format!("{} of {} changes came; the next would be {what}", rows.len(), expected.len()))
}

fn shown(row: &RowLine) -> String {
    let RowLine { op, table, before, after, .. } = row;
    let text = json!({"op": op, "table": table, "before": before, "after": after}).to_string();
    format!("{} at {}", text.chars().take(600).collect::<String>(), row.pos)
}
