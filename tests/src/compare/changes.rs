//! Delivered changes against the changes that the corpus states, in the order of delivery.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use super::Images;
use super::line::RowLine;
use crate::harness::RowEvent;

/// The first thing that differs: an operation, a table, an image to the key, a bound between two transactions, or an
/// ordinal of a row. `expected` may hold what must not be delivered (`rolled_back_xa`); it is left out here.
pub fn change_complaint(expected: &[&RowEvent], rows: &[RowLine]) -> Option<String> {
    compare_changes(expected, rows, Images::Full).1
}

/// As [`change_complaint`], with the number of changes that came as expected before it.
pub(super) fn compare_changes(expected: &[&RowEvent], rows: &[RowLine], images: Images) -> (usize, Option<String>) {
    let expected: Vec<&RowEvent> = expected.iter().filter(|change| !change.rolled_back_xa).copied().collect();
    // the ordinal of the next row, by table, of the transaction that the rows are in
    let mut next_row: HashMap<&str, u64> = HashMap::new();
    for (at, row) in rows.iter().enumerate() {
        let (Some(change), before) = (expected.get(at), at.checked_sub(1)) else {
            return (at, Some(format!("after {at} expected changes came {}", shown(row))));
        };
        let same = row.op == change.op
            && row.database == change.database
            && row.table == change.table
            && match images {
                Images::Full => row.before == change.before && row.after == change.after,
                Images::Partial => is_part_of(row, change),
            };
        if !same {
            let wanted =
                json!({"op": change.op, "table": change.table, "before": change.before, "after": change.after});
            return (at, Some(format!("change {at}: got {}, expected {wanted}", shown(row))));
        }
        if let Some(before) = before {
            let (was, is) = (rows[before].tx, row.tx);
            let goes_on = expected[before].transaction == change.transaction;
            if if goes_on { was != is } else { was >= is } {
                let rule = if goes_on { "the same transaction goes on" } else { "a later transaction begins" };
                return (at, Some(format!("change {at}: tx {was} is followed by {is}, but {rule}: {}", shown(row))));
            }
            if !goes_on {
                next_row.clear();
            }
        }
        let ordinal = next_row.entry(&row.table).or_default();
        if row.row != *ordinal {
            return (at, Some(format!("change {at}: row {} where {ordinal} is due: {}", row.row, shown(row))));
        }
        *ordinal += 1;
    }
    let Some(missing) = expected.get(rows.len()) else { return (rows.len(), None) };
    let what = json!({"op": missing.op, "table": missing.table, "before": missing.before, "after": missing.after});
    (rows.len(), Some(format!("{} of {} changes came; the next would be {what}", rows.len(), expected.len())))
}

/// The images say nothing else than the stated ones, and what an update changed is in them.
fn is_part_of(row: &RowLine, change: &RowEvent) -> bool {
    let is_part = |image: &Option<Map<String, Value>>, stated: &Option<Map<String, Value>>| match (image, stated) {
        (None, None) => true,
        (Some(image), Some(stated)) => {
            image.iter().all(|(name, value)| stated.get(name) == Some(value) || value.get("json_diff").is_some())
        }
        _ => false,
    };
    let tells_changes = match (&change.before, &change.after, &row.after) {
        (Some(before), Some(after), Some(told)) => after
            .iter()
            .filter(|(name, value)| before.get(*name).is_some_and(|before| before != *value))
            .all(|(name, _)| told.contains_key(name)),
        _ => true,
    };
    is_part(&row.before, &change.before) && is_part(&row.after, &change.after) && tells_changes
}

fn shown(row: &RowLine) -> String {
    let RowLine { op, table, before, after, .. } = row;
    let text = json!({"op": op, "table": table, "before": before, "after": after}).to_string();
    format!("{} at {}", text.chars().take(600).collect::<String>(), row.pos)
}
