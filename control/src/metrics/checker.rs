//! A small judge of the text format, for tests: what `promtool check metrics` would complain about, and what a scraper
//! would refuse.

use std::collections::{BTreeMap, BTreeSet};

pub fn complaints(document: &str) -> Vec<String> {
    let mut complaints = Vec::new();
    let mut types: BTreeMap<&str, &str> = BTreeMap::new();
    let mut helped: BTreeSet<&str> = BTreeSet::new();
    let mut series: BTreeSet<&str> = BTreeSet::new();
    let mut family = "";
    if !document.ends_with('\n') {
        complaints.push("does not end in a newline".to_owned());
    }
    for line in document.lines() {
        let mut complain = |what: &str| complaints.push(format!("{what}: {line}"));
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').unwrap_or((rest, ""));
            if help.is_empty() || !helped.insert(name) {
                complain("HELP is empty or there twice");
            }
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap_or((rest, ""));
            family = name;
            if types.insert(name, kind).is_some() || !helped.contains(name) {
                complain("TYPE is there twice, or without HELP");
            }
            if !is_name(name) || !matches!(kind, "counter" | "gauge" | "summary") {
                complain("bad name or type");
            }
            if (kind == "counter") != name.ends_with("_total") {
                complain("counters, and only they, end in _total");
            }
            let units = ["_us", "_ms", "_millis", "_kb", "_mb", "_percent", "_minutes", "_count", "_sum", "_bucket"];
            if units.iter().any(|unit| name.ends_with(unit)) || name.contains("_us_") || name.contains("_ms_") {
                complain("not a base unit, or a reserved suffix");
            }
        } else {
            let Some((sample, value)) = line.rsplit_once(' ') else {
                complain("no value");
                continue;
            };
            let (name, labels) = sample.split_once('{').map_or((sample, None), |(name, labels)| (name, Some(labels)));
            let suffix_of_family = name.strip_prefix(family);
            let kind = types.get(family).copied().unwrap_or_default();
            let belongs = match suffix_of_family {
                Some("") => true,
                Some("_sum" | "_count") => kind == "summary",
                _ => false,
            };
            if !belongs {
                complain("sample outside of its family");
            }
            if value.parse::<f64>().is_err() {
                complain("value is no number");
            }
            if labels.is_some_and(|labels| !are_labels(labels)) {
                complain("bad labels");
            }
            if !series.insert(sample) {
                complain("the same series twice");
            }
        }
    }
    complaints
}

fn is_name(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
        && name.starts_with(|first: char| first.is_ascii_lowercase())
}

/// `a="x",b="y"}`
fn are_labels(mut text: &str) -> bool {
    loop {
        let Some((name, rest)) = text.split_once("=\"") else { return false };
        if !is_name(name) {
            return false;
        }
        let mut escape = false;
        let end = rest.char_indices().find(|(_, c)| {
            let ends = *c == '"' && !escape;
            escape = *c == '\\' && !escape;
            ends
        });
        let Some((end, _)) = end else { return false };
        match &rest[end + 1..] {
            "}" => return true,
            more => match more.strip_prefix(',') {
                Some(more) => text = more,
                None => return false,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::complaints;

    #[test]
    fn the_judge_sees_what_is_wrong() {
        let good = "# HELP a_total x\n# TYPE a_total counter\na_total{b=\"c\\\"d\"} 1\n";
        assert_eq!(complaints(good), Vec::<String>::new());
        for bad in [
            "a_total 1\n",
            "# HELP a x\n# TYPE a counter\na 1\n",
            "# HELP a_total x\n# TYPE a_total gauge\na_total 1\n",
            "# HELP a_ms x\n# TYPE a_ms gauge\na_ms 1\n",
            "# TYPE a gauge\na 1\n",
            "# HELP a x\n# TYPE a gauge\nb 1\n",
            "# HELP a x\n# TYPE a gauge\na one\n",
            "# HELP a x\n# TYPE a gauge\na{b=\"c\"d\"} 1\n",
            "# HELP a x\n# TYPE a gauge\na 1\na 1\n",
            "# HELP a x\n# TYPE a gauge\na 1",
        ] {
            assert!(!complaints(bad).is_empty(), "{bad}");
        }
    }
}
