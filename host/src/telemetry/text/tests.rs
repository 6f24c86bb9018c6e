use super::*;

fn sample(labels: &[(&str, &str)], value: Value) -> String {
    let mut text = String::new();
    write_sample(&mut text, "metric", labels, value);
    text
}

#[test]
fn label_value_cannot_end_its_line_or_its_quotation() {
    let hostile = "a\"} 1\nmetric{b=\"\\";

    let text = sample(&[("name", hostile)], Value::Integer(2));

    assert_eq!(text, "metric{name=\"a\\\"} 1\\nmetric{b=\\\"\\\\\"} 2\n");
}

#[test]
fn description_keeps_quotation_marks_and_stays_one_line() {
    let mut text = String::new();

    write_family(&mut text, "metric", "gauge", Some("the \"size\"\nof C:\\"));

    assert_eq!(text, "# HELP metric the \"size\"\\nof C:\\\\\n# TYPE metric gauge\n");
}

#[test]
fn family_without_a_description_has_a_type_only() {
    let mut text = String::new();
    write_family(&mut text, "metric", "counter", None);
    assert_eq!(text, "# TYPE metric counter\n");
}

#[test]
fn labels_are_separated_by_commas_and_omitted_if_there_are_none() {
    let labels = [("token", "a"), ("state", "größer")];
    assert_eq!(sample(&labels, Value::Integer(7)), "metric{token=\"a\",state=\"größer\"} 7\n");
    assert_eq!(sample(&[], Value::Integer(u64::MAX)), "metric 18446744073709551615\n");
}

#[test]
fn numbers_that_are_not_finite_have_the_spelling_of_the_format() {
    let values = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -0.5, 1e-7, 3e21];
    let text: Vec<String> = values.into_iter().map(|value| Value::Float(value).to_string()).collect();
    assert_eq!(text, ["NaN", "+Inf", "-Inf", "0", "-0.5", "0.0000001", "3000000000000000000000"]);
}
