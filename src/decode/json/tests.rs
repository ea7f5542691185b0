use std::borrow::Cow;

use proptest::prelude::*;

use super::*;
use crate::decode::code::reject;
use crate::decode::message::{Node, Paths};

/// What pointers find in a text.
fn find<'a>(
    text: &'a str,
    depth_max: usize,
    pointers: &[&str],
) -> Result<Vec<Node<'a>>, RejectReason> {
    let mut paths = Paths::default();
    let pointers: Vec<_> = pointers
        .iter()
        .map(|text| paths.pointer(text).unwrap())
        .collect();
    with_slots(&paths, |slots| {
        scan(text.as_bytes(), depth_max, &paths, slots)?;
        Ok(pointers.iter().map(|at| slots[at.slot()].clone()).collect())
    })
}

fn code(text: &str) -> String {
    find(text, 4, &["/a"]).unwrap_err().code
}

#[test]
fn plain_text_is_borrowed_and_escaped_text_is_not() {
    let found = find(
        r#"{"a":"plain","b":"es\tc\u0061p\ud83d\ude00ed"}"#,
        4,
        &["/a", "/b"],
    )
    .unwrap();
    assert!(matches!(&found[0], Node::Text(Cow::Borrowed("plain"))));
    assert!(matches!(&found[1], Node::Text(Cow::Owned(text)) if text == "es\tcap😀ed"));
}

#[test]
fn pointers_reach_into_arrays_and_escaped_keys() {
    let text = r#"{"a/b":{"m~n":[1,2.5,null,{"x":"y"}]},"o":{"p":true}}"#;
    let found = find(
        text,
        4,
        &[
            "/a~1b/m~0n/1",
            "/a~1b/m~0n/2",
            "/a~1b/m~0n/9",
            "/a~1b/m~0n/3/x",
            "/a~1b/m~0n",
            "/o",
            "/o/p/q",
        ],
    )
    .unwrap();
    assert_eq!(found[0], Node::Number("2.5"));
    assert_eq!(found[1], Node::Null);
    assert_eq!(found[2], Node::Null);
    assert_eq!(found[3], Node::Text("y".into()));
    assert_eq!(
        found[4],
        Node::List(vec![
            Node::Int(1),
            Node::Number("2.5"),
            Node::Null,
            Node::Object
        ])
    );
    assert_eq!(found[5], Node::Object);
    assert_eq!(found[6], Node::Null);
}

#[test]
fn a_key_with_escapes_is_the_key_it_says() {
    assert_eq!(find(r#"{"\u0061":7}"#, 4, &["/a"]).unwrap(), [Node::Int(7)]);
    for twice in [
        r#"{"a":1,"a":2}"#,
        r#"{"a":1,"\u0061":2}"#,
        r#"{"\u007a":1,"z":2}"#,
        r#"{"z":1,"\u007a":2}"#,
        r#"{"b":{"c":1,"c":1}}"#,
        r#"{"b":[{"c":1,"c":1}]}"#,
    ] {
        assert_eq!(code(twice), reject::JSON, "{twice}");
    }
}

#[test]
fn hostile_texts_are_refused_by_name() {
    assert_eq!(code(&"[".repeat(100_000)), reject::DEPTH);
    assert_eq!(code(r#"{"a":{"b":{"c":{"d":{}}}}}"#), reject::DEPTH);
    assert!(find(r#"{"a":{"b":{"c":{}}}}"#, 4, &[]).is_ok());
    for bad in [
        "[]",
        "{} {}",
        "\"a\"",
        "{\"a\":01}",
        "{\"a\":\"\u{1}\"}",
        r#"{"a":"\ud800"}"#,
        r#"{"a":"\udc00\ud800"}"#,
    ] {
        assert_eq!(code(bad), reject::JSON, "{bad}");
    }
    for short in [
        r#"{"a":"#,
        "",
        "  ",
        "{",
        r#"{"a":tru"#,
        r#"{"a":-"#,
        r#"{"a":"\u00"#,
        r#"{"a":1"#,
    ] {
        assert_eq!(code(short), reject::TRUNCATED, "{short}");
    }
    let many = |count: usize| {
        let keys: Vec<String> = (0..count).map(|i| format!("\"k{i}\":0")).collect();
        format!("{{{}}}", keys.join(","))
    };
    assert_eq!(code(&many(257)), reject::JSON);
    assert!(find(&many(256), 4, &["/k7"]).is_ok());
    // The 20th unnamed key, past those remembered in place, is still known.
    assert_eq!(code(&many(20).replace('}', ",\"k19\":1}")), reject::JSON);
    assert_eq!(code(&many(20).replace('}', ",\"k3\":1}")), reject::JSON);
}

#[test]
fn whole_numbers_keep_every_digit() {
    for (text, node) in [
        ("-0", Node::Int(0)),
        ("999999999999999999", Node::Int(999_999_999_999_999_999)),
        ("9223372036854775807", Node::Int(i64::MAX)),
        ("-9223372036854775808", Node::Int(i64::MIN)),
        ("9223372036854775808", Node::Number("9223372036854775808")),
        ("1e2", Node::Number("1e2")),
    ] {
        assert_eq!(
            find(&format!("{{\"a\":{text}}}"), 4, &["/a"]).unwrap(),
            [node]
        );
    }
}

/// Any JSON value of a few levels.
fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        ".{0,12}".prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            prop::collection::btree_map(".{0,6}", inner, 0..6)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}

fn same(node: &Node<'_>, value: Option<&serde_json::Value>) -> bool {
    use serde_json::Value;
    match (node, value) {
        (Node::Null, None | Some(Value::Null)) | (Node::Object, Some(Value::Object(_))) => true,
        (Node::Bool(a), Some(Value::Bool(b))) => a == b,
        (Node::Int(a), Some(b)) => b.as_i64() == Some(*a),
        (Node::Number(a), Some(b)) => a.parse().ok() == b.as_f64(),
        (Node::Text(a), Some(b)) => b.as_str() == Some(a),
        (Node::List(a), Some(Value::Array(b))) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, Some(b)))
        }
        _ => false,
    }
}

/// Every pointer to somewhere in a value.
fn pointers(value: &serde_json::Value, at: &str, out: &mut Vec<String>) {
    let mut step = |key: &str, value| {
        let at = format!("{at}/{}", key.replace('~', "~0").replace('/', "~1"));
        out.push(at.clone());
        pointers(value, &at, out);
    };
    match value {
        serde_json::Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                step(&index.to_string(), item);
            }
        }
        serde_json::Value::Object(map) => {
            for (key, item) in map {
                step(key, item);
            }
        }
        _ => {}
    }
}

proptest! {
    /// Another reader of JSON finds the same values at the same places.
    #[test]
    fn slots_hold_what_another_reader_finds(value in json()) {
        let text = serde_json::to_string(&serde_json::json!({ "r": value })).unwrap();
        let root: serde_json::Value = serde_json::from_str(&text).unwrap();
        let mut all = Vec::new();
        pointers(&root, "", &mut all);
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        let found = find(&text, 64, &all).unwrap();
        for (at, node) in all.iter().zip(&found) {
            prop_assert!(same(node, root.pointer(at)), "{at}: {node:?}");
        }
        // And each alone, so that nothing depends on what else is named.
        for (at, node) in all.iter().zip(&found) {
            prop_assert_eq!(&find(&text, 64, &[at]).unwrap()[0], node);
        }
    }

    /// Texts near JSON are taken or refused as by another reader, keys that are there twice apart.
    #[test]
    fn texts_near_json_are_judged_alike(
        value in json(),
        edits in prop::collection::vec((any::<prop::sample::Index>(), "[{}\\[\\]:,\"\\\\0-9eE.+ untrfalse-]"), 0..3),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut text = serde_json::to_string(&serde_json::json!({ "r": value })).unwrap();
        for (at, with) in edits {
            let at = at.index(text.len());
            if text.is_char_boundary(at) && text.is_char_boundary(at + 1) {
                text.replace_range(at..=at, &with);
            }
        }
        let cut = cut.index(text.len() * 2);
        if cut < text.len() && text.is_char_boundary(cut) {
            text.truncate(cut);
        }
        let theirs = serde_json::from_str::<serde_json::Value>(&text);
        match (find(&text, 64, &["/r"]), theirs) {
            (Ok(_), Ok(value)) => prop_assert!(value.is_object()),
            (Err(reason), Ok(value)) => prop_assert!(
                !value.is_object() || reason.message.contains("twice"),
                "{text}: {reason}"
            ),
            (Ok(_), Err(error)) => prop_assert!(error.to_string().contains("out of range"), "{text}: {error}"),
            // Another reader tells a number beyond a double before it looks for what is behind it.
            (Err(_), Err(error)) if error.to_string().contains("out of range") => {}
            // It tells that four digits are not there before it looks at those that are.
            (Err(reason), Err(error)) if reason.message.contains("hexadecimal") && error.is_eof() => {}
            (Err(reason), Err(error)) => {
                prop_assert_eq!(
                    reason.code == reject::TRUNCATED,
                    error.is_eof(),
                    "{}: {} / {}", text, reason, error
                );
            }
        }
    }

    #[test]
    fn any_bytes_are_answered(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        let paths = Paths::default();
        if let Err(reason) = scan(&bytes, 8, &paths, &mut []) {
                prop_assert!(!reason.code.is_empty());
            }
    }
}
