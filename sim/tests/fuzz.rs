//! The fuzz targets under proptest: what they found once, and as many cases as PROPTEST_CASES says.

use ironbird_sim::consul::fuzzing;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

/// A dictionary of libFuzzer's: a word a line, in quotes, with `\\`, `\"` and `\xAB` for what needs it.
fn words(dictionary: &str) -> Vec<Vec<u8>> {
    let lines = dictionary.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| line.strip_prefix('"')?.strip_suffix('"'))
        .map(|text| word(text.as_bytes()))
        .collect()
}

fn word(mut text: &[u8]) -> Vec<u8> {
    let mut word = Vec::new();
    loop {
        text = match text {
            [] => return word,
            [b'\\', b'x', high, low, rest @ ..] => {
                let digit = |byte: u8| char::from(byte).to_digit(16).expect("a hexadecimal digit") as u8;
                word.push(digit(*high) << 4 | digit(*low));
                rest
            }
            [b'\\', byte, rest @ ..] | [byte, rest @ ..] => {
                word.push(*byte);
                rest
            }
        };
    }
}

/// Words in any order, with bytes of any kind between: chance alone gets nowhere.
fn bytes(dictionary: &str, most: usize) -> impl Strategy<Value = Vec<u8>> + use<> {
    let piece = prop_oneof![12 => select(words(dictionary)), 1 => vec(any::<u8>(), 0..8)];
    vec(piece, 0..most).prop_map(|pieces| pieces.concat())
}

fn text(dictionary: &str, most: usize) -> impl Strategy<Value = String> + use<> {
    bytes(dictionary, most).prop_map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

/// Requests one after another: words with a slash first are paths, those with a line feed last take a body.
fn requests(dictionary: &str) -> impl Strategy<Value = Vec<u8>> + use<> {
    let (paths, others): (Vec<_>, Vec<_>) = words(dictionary).into_iter().partition(|word| word[0] == b'/');
    let method = select(&["GET ", "PUT ", "PUT ", "DELETE "][..]);
    let sign = select(&["", "?", "&", ",", "/", "\n"][..]);
    let rest = vec((sign, select(others)), 0..8).prop_map(|parts| {
        let parts = parts.into_iter().map(|(sign, word)| [sign.as_bytes(), &word].concat());
        parts.collect::<Vec<_>>().concat()
    });
    let request = (1..=u8::MAX, method, select(paths), rest)
        .prop_map(|(pause, method, path, rest)| [&[pause], method.as_bytes(), &path, &rest, &[0]].concat());
    vec(request, 0..24).prop_map(|requests| requests.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_connection_takes_any_bytes(input in bytes(include_str!("../../fuzz/dictionaries/connection"), 24)) {
        fuzzing::connection(&input);
    }

    #[test]
    fn a_server_takes_any_requests(input in requests(include_str!("../../fuzz/dictionaries/request"))) {
        fuzzing::request(&input);
    }

    #[test]
    fn a_server_takes_any_words(input in bytes(include_str!("../../fuzz/dictionaries/request"), 60)) {
        fuzzing::request(&input);
    }

    #[test]
    fn a_filter_is_any_text(input in text(include_str!("../../fuzz/dictionaries/filter"), 16)) {
        fuzzing::filter(&input);
    }

    #[test]
    fn a_duration_is_any_text(input in text(include_str!("../../fuzz/dictionaries/duration"), 8)) {
        fuzzing::duration(&input);
    }
}

#[test]
fn an_operand_may_be_called_as_an_operator_is() {
    fuzzing::filter(" or  not in not \n");
}
