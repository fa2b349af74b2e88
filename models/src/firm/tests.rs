#![allow(clippy::unwrap_used)]
use super::*;

/// Codes that their holders publish, two universities and six companies, and the example that texts on the standard use.
const PUBLISHED: [(&str, u32); 9] = [
    ("12100000400000624D", 100_000), // Tsinghua University
    ("12100000400002259P", 100_000), // Peking University
    ("91100000100003962T", 100_000), // Industrial and Commercial Bank of China
    ("9144030071526726XG", 440_300), // Tencent
    ("91330100799655058B", 330_100), // Alibaba
    ("914403001922038216", 440_300), // Huawei
    ("911100007109250324", 110_000), // China Mobile
    ("91110000802100433B", 110_000), // Baidu
    ("91350100M000100Y43", 350_100),
];

fn parse(text: &str) -> Result<String, KeyError> {
    KeyKind::UnifiedSocialCreditCode.normalise(text)
}

#[test]
fn published_codes_are_valid() {
    for (text, division) in PUBLISHED {
        let code = UnifiedSocialCreditCode::parse(text).unwrap();
        assert_eq!((code.as_str(), code.division()), (text, division));
        let mut parts = text.chars();
        let again =
            UnifiedSocialCreditCode::from_parts(parts.next().unwrap(), parts.next().unwrap(), division, &text[8..16]);
        assert_eq!(again, Ok(code));
        assert_eq!(format!("{code:?}"), "UnifiedSocialCreditCode(..)");
    }
}

#[test]
fn every_wrong_character_and_every_swap_of_neighbours_is_found() {
    for (text, _) in PUBLISHED {
        for i in 0..LENGTH {
            for other in 0x20..0x7f_u8 {
                let mut wrong = text.as_bytes().to_vec();
                if other.to_ascii_uppercase() == wrong[i] {
                    continue;
                }
                wrong[i] = other;
                let error = parse(std::str::from_utf8(&wrong).unwrap()).unwrap_err();
                let expected = match other.to_ascii_uppercase() {
                    b'-' | b' ' => error == KeyError::Length { found: 17 },
                    c if !ALPHABET.contains(&c) => error == KeyError::Character { position: i + 1 },
                    _ => !matches!(error, KeyError::Length { .. } | KeyError::Empty),
                };
                assert!(expected, "{text} with {other:#x} at {i}: {error:?}");
            }
            if i + 1 < LENGTH && text.as_bytes()[i] != text.as_bytes()[i + 1] {
                let mut swapped = text.as_bytes().to_vec();
                swapped.swap(i, i + 1);
                assert!(parse(std::str::from_utf8(&swapped).unwrap()).is_err(), "{text} swapped at {i}");
            }
        }
    }
}

#[test]
fn both_check_characters_count() {
    // Character 17 wrong and 18 made right again, and the other way round.
    let mut code = *b"91110000802100433B";
    code[16] = b'4';
    code[17] = code_check(&code[..17]).unwrap();
    assert_eq!(parse(std::str::from_utf8(&code).unwrap()), Err(KeyError::OrganisationCheck));
    assert_eq!(parse("91110000802100433C"), Err(KeyError::CodeCheck));
    // A code of a pilot region of 2015, given out before the standard, which fails the check of the whole.
    assert_eq!(parse("91350211M00013FA1N"), Err(KeyError::CodeCheck));
}

#[test]
fn ways_of_writing_a_code_lead_to_one_form() {
    for text in [
        " 91110000802100433b\r\n",
        "91110000 80210043-3 B",
        "９１１１００００８０２１００４３３Ｂ",
        "\u{feff}９１１１００００\u{3000}８０２１００４３－３ｂ",
        "9111 0000\u{a0}8021\u{2014}0043\u{2212}3\u{200b}B\t",
    ] {
        assert_eq!(parse(text).as_deref(), Ok("91110000802100433B"), "{text:?}");
    }
}

#[test]
fn refusals_say_what_and_where() {
    use KeyError::*;
    for (text, expected) in [
        ("", Empty),
        (" - \u{3000}", Empty),
        ("9111000080210043", Length { found: 16 }),
        ("91110000802100433BB", Length { found: 19 }),
        ("9111000080210043京B", Character { position: 17 }),
        ("京", Length { found: 1 }),
        ("9I110000802100433B", Character { position: 2 }),
        ("9111O000802100433B", Character { position: 5 }),
        ("9111A000802100433B", Character { position: 5 }),
        ("9111000080210043AB", Character { position: 17 }),
        ("91010000802100433B", Division),
        ("110000009876543", OtherKind(OlderKey::RegistrationNumber)),
        ("80210043-3", OtherKind(OlderKey::OrganisationCode)),
        ("80210043-4", Length { found: 9 }),
        ("802.0043-3", Length { found: 9 }),
    ] {
        assert_eq!(parse(text), Err(expected), "{text:?}");
    }
    assert_eq!(parse(&"9".repeat(1_000_000)), Err(Length { found: 1_000_000 }));
}

#[test]
fn text_keys_are_trimmed_and_bounded() {
    let text = |raw: &str| KeyKind::Text.normalise(raw);
    assert_eq!(text(" a-B 中 \n").as_deref(), Ok("a-B 中"));
    assert_eq!(text("\u{3000}\t"), Err(KeyError::Empty));
    assert_eq!(text(&"中".repeat(21)).map(|key| key.len()), Ok(63));
    assert_eq!(text(&"中".repeat(22)), Err(KeyError::TooLong { found: 66 }));
}

#[test]
fn synthetic_codes_are_valid_and_all_different() {
    let mut seen = HashSet::new();
    for n in (0..2000).chain([u32::MAX, u32::MAX - 1]) {
        let code = UnifiedSocialCreditCode::synthetic(130_000, n).unwrap();
        assert_eq!(UnifiedSocialCreditCode::parse(code.as_str()), Ok(code));
        assert!(seen.insert(code));
    }
    assert_eq!(UnifiedSocialCreditCode::synthetic(110_000, 1).unwrap().as_str(), "91110000Y00000016N");
    assert_eq!(UnifiedSocialCreditCode::synthetic(13, 1), Err(KeyError::Division));
    assert_eq!(UnifiedSocialCreditCode::synthetic(1_300_000, 1), Err(KeyError::Length { found: 19 }));
    assert_eq!(
        UnifiedSocialCreditCode::from_parts('9', 'é', 130_000, "00000000"),
        Err(KeyError::Character { position: 2 })
    );
}

#[test]
fn a_column_is_read_whole_or_refused_with_counts_and_rows() {
    let column = |rows: &[&str]| rows.iter().map(|row| (*row).to_owned()).collect::<Vec<_>>();
    let good = column(&[" 91110000802100433b", "12100000400000624D"]);
    let kind = KeyKind::UnifiedSocialCreditCode;
    assert_eq!(read_keys(kind, &good).unwrap(), ["91110000802100433B", "12100000400000624D"]);
    assert_eq!(read_keys(kind, &[]), Ok(vec![]));

    let mut bad = column(&["", "911", "9I110000802100433B", "91010000802100433B", "80210043-3", "91110000802100433B"]);
    bad.extend(column(&["９１１１００００８０２１００４３３b"])); // row 7: the firm of row 6
    bad.extend(vec!["91110000802100433C".to_owned(); 7]);
    let problems = read_keys(kind, &bad).unwrap_err();
    let rows = |count, examples: &[u64]| KeyRows { count, examples: examples.to_vec() };
    let expected = [
        (KeyProblem::Empty, rows(1, &[1])),
        (KeyProblem::Length, rows(1, &[2])),
        (KeyProblem::Character, rows(1, &[3])),
        (KeyProblem::Division, rows(1, &[4])),
        (KeyProblem::Check, rows(7, &[8, 9, 10, 11, 12])),
        (KeyProblem::OtherKind, rows(1, &[5])),
        (KeyProblem::Duplicate, rows(1, &[7])),
    ];
    assert_eq!(problems.iter().map(|(problem, rows)| (problem, rows.clone())).collect::<Vec<_>>(), expected);
    let text = problems.to_string();
    assert!(text.contains("7 rows (first 8, 9, 10, 11, 12) have a wrong check character"), "{text}");
    assert!(!text.contains("802100433") && text.lines().count() == 7, "{text}");
    let problems = read_keys(KeyKind::Text, &column(&["a", "b", " a"])).unwrap_err();
    assert_eq!(problems.rows(KeyProblem::Duplicate), Some(&rows(1, &[3])));
    assert_eq!(problems.rows(KeyProblem::Empty), None);
}

#[test]
fn kinds_have_names() {
    for (kind, name) in
        [(KeyKind::UnifiedSocialCreditCode, "\"unified-social-credit-code\""), (KeyKind::Text, "\"text\"")]
    {
        assert_eq!(serde_json::to_string(&kind).unwrap(), name);
        assert_eq!(serde_json::from_str::<KeyKind>(name).unwrap(), kind);
    }
}
