//! MySQL's binary JSON, written: small containers only.

/// A value; keys must come sorted by length, then by bytes, as MySQL has them.
pub enum Json<'a> {
    Null,
    Bool(bool),
    Int(i32),
    Double(f64),
    Text(&'a str),
    Array(Vec<Json<'a>>),
    Object(Vec<(&'a str, Json<'a>)>),
}

/// The document: type, then value.
pub fn document(value: &Json<'_>) -> Vec<u8> {
    let mut out = vec![kind(value)];
    write(value, &mut out);
    out
}

fn kind(value: &Json<'_>) -> u8 {
    match value {
        Json::Object(_) => 0,
        Json::Array(_) => 2,
        Json::Null | Json::Bool(_) => 4,
        Json::Int(number) if i16::try_from(*number).is_ok() => 5,
        Json::Int(_) => 7,
        Json::Double(_) => 11,
        Json::Text(_) => 12,
    }
}

/// What lies in a value's entry itself.
fn inline(value: &Json<'_>) -> Option<[u8; 2]> {
    match value {
        Json::Null => Some([0, 0]),
        Json::Bool(true) => Some([1, 0]),
        Json::Bool(false) => Some([2, 0]),
        Json::Int(number) => i16::try_from(*number).ok().map(i16::to_le_bytes),
        _ => None,
    }
}

fn write(value: &Json<'_>, out: &mut Vec<u8>) {
    match value {
        Json::Null | Json::Bool(_) => out.push(inline(value).map_or(0, |bytes| bytes[0])),
        Json::Int(number) if i16::try_from(*number).is_ok() => out.extend_from_slice(&(*number as i16).to_le_bytes()),
        Json::Int(number) => out.extend_from_slice(&number.to_le_bytes()),
        Json::Double(number) => out.extend_from_slice(&number.to_le_bytes()),
        Json::Text(text) => {
            assert!(text.len() < 128, "lengths of one byte only");
            out.push(text.len() as u8);
            out.extend_from_slice(text.as_bytes());
        }
        Json::Array(values) => container(&[], &values.iter().collect::<Vec<_>>(), out),
        Json::Object(members) => {
            let keys: Vec<&str> = members.iter().map(|(key, _)| *key).collect();
            container(&keys, &members.iter().map(|(_, value)| value).collect::<Vec<_>>(), out);
        }
    }
}

fn container(keys: &[&str], values: &[&Json<'_>], out: &mut Vec<u8>) {
    let start = out.len();
    let put =
        |out: &mut Vec<u8>, at: usize, number: usize| out[at..at + 2].copy_from_slice(&(number as u16).to_le_bytes());
    out.resize(start + 4 + keys.len() * 4 + values.len() * 3, 0);
    put(out, start, values.len());
    for (index, key) in keys.iter().enumerate() {
        let offset = out.len() - start;
        put(out, start + 4 + index * 4, offset);
        put(out, start + 6 + index * 4, key.len());
        out.extend_from_slice(key.as_bytes());
    }
    for (index, value) in values.iter().enumerate() {
        let entry = start + 4 + keys.len() * 4 + index * 3;
        out[entry] = kind(value);
        match inline(value) {
            Some(bytes) => out[entry + 1..entry + 3].copy_from_slice(&bytes),
            None => {
                let offset = out.len() - start;
                put(out, entry + 1, offset);
                write(value, out);
            }
        }
    }
    let bytes = out.len() - start;
    put(out, start + 2, bytes);
}
