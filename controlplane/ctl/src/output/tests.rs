//! The same result in every format.

use serde_json::json;

use super::*;

fn sample() -> Shown {
    let mut table = Table::new(&[Column::text("NAME"), Column::number("SHARDS"), Column::text("LABELS").wide()]);
    table.row(vec![Cell::good("größe"), "7".into(), "a=1,b=\"2\"".into()]);
    table.row(vec!["日本".into(), "128".into(), Cell::nothing()]);
    let items = json!([{"name": "größe", "shards": 7}, {"name": "日本", "shards": 128}]);
    let value = json!({"items": items, "next_cursor": null});
    Shown::new(value, vec![Part::Table(table), Part::Text("2 of them".into())])
}

fn text(format: Format) -> String {
    sample().text(format, false).unwrap()
}

#[test]
fn people_see_columns_that_are_as_wide_as_what_stands_in_them() {
    assert_eq!(text(Format::Table), "NAME   SHARDS\ngröße       7\n日本      128\n2 of them\n");
    let wide = "NAME   SHARDS  LABELS\ngröße       7  a=1,b=\"2\"\n日本      128  -\n2 of them\n";
    assert_eq!(text(Format::Wide), wide);
    let painted = sample().text(Format::Table, true).unwrap();
    assert!(painted.starts_with("\u{1b}[1mNAME\u{1b}[0m   \u{1b}[1mSHARDS\u{1b}[0m\n\u{1b}[32mgröße\u{1b}[0m  "));
}

#[test]
fn programs_get_the_value_whole_or_by_the_line_or_all_columns() {
    assert_eq!(serde_json::from_str::<Value>(&text(Format::Json)).unwrap(), sample().value);
    assert_eq!(
        text(Format::Yaml),
        "items:\n- name: größe\n  shards: 7\n- name: 日本\n  shards: 128\nnext_cursor: null\n"
    );
    assert_eq!(text(Format::Jsonl), "{\"name\":\"größe\",\"shards\":7}\n{\"name\":\"日本\",\"shards\":128}\n");
    assert_eq!(text(Format::Csv), "NAME,SHARDS,LABELS\ngröße,7,\"a=1,b=\"\"2\"\"\"\n日本,128,-\n");
}

#[test]
fn names_stand_above_each_other_and_what_has_lines_is_set_in() {
    let fields = vec![("id", Cell::from("7")), ("labels", Cell::from("a=1\nb=2"))];
    let shown = Shown::new(json!({"id": 7}), vec![Part::Fields(fields)]);
    assert_eq!(shown.text(Format::Table, false).unwrap(), "id      7\nlabels  a=1\n        b=2\n");
    assert_eq!(shown.text(Format::Csv, false).unwrap(), "id,labels\n7,\"a=1\nb=2\"\n");
    assert_eq!(shown.text(Format::Jsonl, false).unwrap(), "{\"id\":7}\n");
}

#[test]
fn what_others_wrote_cannot_command_the_terminal() {
    let shown = Shown::line(Value::Null, "\u{1b}[2Jgone\r\u{7}");
    assert_eq!(shown.text(Format::Table, true).unwrap(), "\\u{1b}[2Jgone\\r\\u{7}\n");
}
