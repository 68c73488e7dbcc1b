//! Names of MySQL as identifiers of Cap'n Proto: `created_at` becomes the field `createdAt`, the table
//! `order_items` the struct `OrderItems`.
//!
//! Cap'n Proto identifiers are ASCII letters and digits without underscores; a field starts with a lower-case
//! letter, a type with an upper-case one. The mapping is a pure function of the name and of the names given before,
//! so the same history of columns always gives the same fields.

/// The field name for a new column, different from all of `existing` together with the `IsNull` field that it may
/// get. `existing` holds every field name that can be in use beside it, `IsNull` ones too.
pub fn assign_field_name<S: AsRef<str>>(existing: &[S], column: &str) -> String {
    free_field_name(column, |name| existing.iter().any(|other| other.as_ref() == name))
}

/// The same, where `taken` knows which names are in use.
pub fn free_field_name(column: &str, taken: impl Fn(&str) -> bool) -> String {
    let base = field_name(column);
    let free = |name: &str| !taken(name) && !taken(&is_null_name(name));
    if free(&base) {
        return base;
    }
    // A digit at the end would run into the number: `item1` becomes `item1n2`, never `item12`.
    let joint = if base.ends_with(|c: char| c.is_ascii_digit()) { "n" } else { "" };
    (2u32..).map(|number| format!("{base}{joint}{number}")).find(|name| free(name)).unwrap_or(base)
}

/// The Bool field that says whether the value of `field` is NULL.
pub fn is_null_name(field: &str) -> String {
    format!("{field}IsNull")
}

/// The name of a retired ordinal.
pub fn retired_name(ordinal: u16) -> String {
    format!("retired{ordinal}")
}

/// The struct name of a table.
pub fn struct_name(table: &str) -> String {
    let mut name = String::new();
    for word in words(table) {
        push_capitalized(&mut name, &word);
    }
    if !name.starts_with(|c: char| c.is_ascii_uppercase()) {
        name.insert(0, 'T');
    }
    name
}

/// The field name of a column, before it is made unique.
fn field_name(column: &str) -> String {
    let mut name = String::new();
    for (index, word) in words(column).iter().enumerate() {
        match index {
            0 => name.push_str(&uncapitalized(word)),
            _ => push_capitalized(&mut name, word),
        }
    }
    if !name.starts_with(|c: char| c.is_ascii_lowercase()) {
        // `1st` -> `c1st`
        name.insert(0, 'c');
    }
    if is_reserved(&name) {
        name.push_str("Column");
    }
    name
}

/// Words of the grammar, names that hide a reader's own attribute in Python, and those that retired ordinals take.
fn is_reserved(name: &str) -> bool {
    const KEYWORDS: [&str; 25] = [
        "annotation",
        "as",
        "const",
        "enum",
        "extends",
        "false",
        "fixed",
        "from",
        "group",
        "import",
        "in",
        "inf",
        "interface",
        "nan",
        "of",
        "on",
        "struct",
        "true",
        "union",
        "using",
        "void",
        "with",
        "embed",
        "schema",
        "which",
    ];
    KEYWORDS.contains(&name)
        || name
            .strip_prefix("retired")
            .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The words of a name: what stands between characters that an identifier cannot hold. A word all in capitals is
/// made small; a character outside ASCII becomes a word of its own, `u` and its code point.
fn words(name: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut end = |word: &mut String| {
        if !word.is_empty() {
            let shouted = !word.bytes().any(|byte| byte.is_ascii_lowercase());
            words.push(if shouted { word.to_ascii_lowercase() } else { word.clone() });
            word.clear();
        }
    };
    for character in name.chars() {
        if character.is_ascii_alphanumeric() {
            word.push(character);
        } else {
            end(&mut word);
            if !character.is_ascii() {
                word.push_str(&format!("u{:x}", u32::from(character)));
                end(&mut word);
            }
        }
    }
    end(&mut word);
    words
}

fn push_capitalized(name: &mut String, word: &str) {
    let mut characters = word.chars();
    if let Some(first) = characters.next() {
        name.push(first.to_ascii_uppercase());
    }
    name.push_str(characters.as_str());
}

/// The leading capitals made small, except one that begins the next word: `XMLData` becomes `xmlData`.
fn uncapitalized(word: &str) -> String {
    let capitals = word.bytes().take_while(u8::is_ascii_uppercase).count();
    let next_is_small = word.as_bytes().get(capitals).is_some_and(u8::is_ascii_lowercase);
    let small = if capitals > 1 && next_is_small { capitals - 1 } else { capitals };
    word.char_indices().map(|(index, c)| if index < small { c.to_ascii_lowercase() } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_become_fields() {
        fn check(column: &str, field: &str) {
            assert_eq!(assign_field_name::<&str>(&[], column), field, "of {column:?}");
        }
        check("id", "id");
        check("ID", "id");
        check("created_at", "createdAt");
        check("CREATED_AT", "createdAt");
        check("CreatedAt", "createdAt");
        check("userID", "userID");
        check("XMLData", "xmlData");
        check("_leading__and_trailing_", "leadingAndTrailing");
        check("2nd place", "c2ndPlace");
        check("preis_in_€", "preisInU20ac");
        check("数量", "u6570U91cf");
        check("", "c");
        check("$%", "c");
        check("union", "unionColumn");
        check("schema", "schemaColumn");
        check("retired", "retired");
        check("retired7", "retired7Column");
    }

    #[test]
    fn collisions_get_numbers() {
        fn check(existing: &[&str], column: &str, field: &str) {
            assert_eq!(assign_field_name(existing, column), field);
        }
        check(&["createdAt"], "created_at", "createdAt2");
        check(&["createdAt", "createdAt2"], "created_at", "createdAt3");
        check(&["item1"], "item_1", "item1n2");
        // The IsNull field that the new column may get counts as well, and so do those of the others.
        check(&["aIsNull"], "a", "a2");
        check(&["a", "aIsNull"], "a_is_null", "aIsNull2");
    }

    #[test]
    fn tables_become_structs() {
        fn check(table: &str, name: &str) {
            assert_eq!(struct_name(table), name, "of {table:?}");
        }
        check("orders", "Orders");
        check("order_items", "OrderItems");
        check("OrderItems", "OrderItems");
        check("2024", "T2024");
        check("订单", "U8ba2U5355");
        check("", "T");
    }
}
