//! The comparison as Markdown.

use super::broker::{FORWARDER, MOSQUITTO, SLUICE};
use super::{Cell, Comparison, Row};
use crate::catalogue;
use crate::metric::{Goal, Metric, Outcome, References};

/// Persistent sessions that are online are to carry this share of what transient ones do.
const PERSISTENT_SHARE: f64 = 0.6;
/// Two workers are to do so many times what one does, point to point.
const SCALING_LEAST: f64 = 1.8;

/// The whole document.
pub(super) fn render(comparison: &Comparison) -> String {
    let mut out = Vec::new();
    out.push(format!("# Comparison of brokers, {}\n", comparison.date));
    out.push(format!(
        "{}; load average before the start {}. Broker on one core, generator on another; {} s a run, medians of {}, \
         brokers in turns.\n",
        comparison.machine, comparison.load_average, comparison.seconds, comparison.repetitions
    ));
    for broker in &comparison.brokers {
        out.push(format!("- {}: {}", broker.name, broker.version));
    }
    cpu(comparison, &mut out);
    goals(comparison, &mut out);
    figures(comparison, &mut out);
    scaling(comparison, &mut out);
    errors(comparison, &mut out);
    out.join("\n")
}

/// CPU per million deliveries, one row a workload, with multiples of the forwarder.
fn cpu(comparison: &Comparison, out: &mut Vec<String>) {
    out.push("\n## Broker CPU seconds per million deliveries\n".to_owned());
    out.push("In brackets: multiples of the bare forwarder in the same run.\n".to_owned());
    head(&["workload", "what"], comparison, &["ours at most", "met"], out);
    let metric = Metric::BrokerCpuPerMillion;
    for row in &comparison.rows {
        if row.cells.iter().all(|cell| cell.median.figure(metric).is_none()) {
            continue;
        }
        let floor = outcome(row, FORWARDER).and_then(|floor| floor.figure(metric));
        let mut columns = vec![row.workload.clone(), row.about.clone()];
        columns.extend(row.cells.iter().map(|cell| with_multiple(cell, floor)));
        let goal = goals_of(row).into_iter().find(|goal| matches!(goal, Goal::AtMost(it, _) if *it == metric));
        columns.push(goal.map_or_else(dash, |goal| number_or_dash(goal.bound(References::default()))));
        columns.push(goal.map_or_else(dash, |goal| verdict(goal, row)));
        line(&columns, out);
    }
}

fn with_multiple(cell: &Cell, floor: Option<f64>) -> String {
    let Some(value) = cell.median.figure(Metric::BrokerCpuPerMillion) else { return dash() };
    match floor {
        Some(floor) if floor > 0.0 && cell.broker != FORWARDER => {
            format!("{} ({:.1})", number(value), value / floor)
        }
        _ => number(value),
    }
}

/// Every bound, whether it is kept, and how far off it is.
fn goals(comparison: &Comparison, out: &mut Vec<String>) {
    if !comparison.brokers.iter().any(|broker| broker.name == SLUICE) {
        return;
    }
    out.push("\n## Bounds\n".to_owned());
    let titles = ["workload", "figure", "bound", "as a figure", "ours", "met"];
    line(&titles.map(str::to_owned), out);
    rule(titles.len(), out);
    for row in &comparison.rows {
        for goal in goals_of(row) {
            let ours = outcome(row, SLUICE).and_then(|ours| ours.figure(goal.metric()));
            let bound = goal.bound(references(row));
            let title = goal.metric().title().to_owned();
            let columns = [describe(goal), number_or_dash(bound), number_or_dash(ours), verdict(goal, row)];
            line(&[&[row.workload.clone(), title], &columns[..]].concat(), out);
        }
    }
    let rate = |name: &str| {
        let row = comparison.rows.iter().find(|row| row.workload == name)?;
        outcome(row, SLUICE)?.figure(Metric::DeliveriesPerSecond)
    };
    if let (Some(persistent), Some(transient)) = (rate("persistent-qos1"), rate("transient-qos1")) {
        let share = persistent / transient;
        let columns = ["≥ 0.6 of transient-qos1".to_owned(), number(transient * PERSISTENT_SHARE), number(persistent)];
        let names = ["persistent-qos1".to_owned(), Metric::DeliveriesPerSecond.title().to_owned()];
        line(&[&names[..], &columns[..], &[met(share >= PERSISTENT_SHARE)]].concat(), out);
    }
}

/// Every figure of every broker.
fn figures(comparison: &Comparison, out: &mut Vec<String>) {
    out.push("\n## All figures\n".to_owned());
    head(&["workload", "figure"], comparison, &[], out);
    for row in &comparison.rows {
        for metric in Metric::ALL {
            if row.cells.iter().all(|cell| cell.median.figure(metric).is_none()) {
                continue;
            }
            let mut columns = vec![row.workload.clone(), metric.title().to_owned()];
            columns.extend(row.cells.iter().map(|cell| number_or_dash(cell.median.figure(metric))));
            line(&columns, out);
        }
    }
}

/// One worker against two. The generator shares the two cores with the broker, so the rate alone says little: what
/// counts is how much CPU a delivery costs, and so what two busy workers could do.
fn scaling(comparison: &Comparison, out: &mut Vec<String>) {
    if comparison.scaling.is_empty() {
        return;
    }
    out.push("\n## Two workers\n".to_owned());
    out.push("The generator shares the cores; capacity is workers ÷ CPU seconds per delivery.\n".to_owned());
    let titles = ["workload", "deliveries/s, 1", "deliveries/s, 2", "CPU s per million, 1", "2", "capacity ×", "met"];
    line(&titles.map(str::to_owned), out);
    rule(titles.len(), out);
    for row in &comparison.scaling {
        let figure = |at: usize, metric| row.cells.get(at).and_then(|cell| cell.median.figure(metric));
        let cpu = [0, 1].map(|at| figure(at, Metric::BrokerCpuPerMillion));
        let capacity = cpu[0].zip(cpu[1]).map(|(one, two)| 2.0 * one / two);
        let rates = [0, 1].map(|at| number_or_dash(figure(at, Metric::DeliveriesPerSecond)));
        let bounded = row.workload.starts_with("p2p");
        let verdict = capacity.filter(|_| bounded).map_or_else(dash, |times| met(times >= SCALING_LEAST));
        let cpu = cpu.map(number_or_dash);
        let columns = [rates, cpu, [number_or_dash(capacity), verdict]].concat();
        line(&[vec![row.workload.clone()], columns].concat(), out);
    }
}

/// Why there are dashes.
fn errors(comparison: &Comparison, out: &mut Vec<String>) {
    let rows = comparison.rows.iter().chain(&comparison.scaling);
    let failed = rows.flat_map(|row| row.cells.iter().map(move |cell| (row, cell)));
    let mut lines = failed.filter_map(|(row, cell)| {
        cell.error.as_ref().map(|error| format!("- {}, {}: {error}", row.workload, cell.broker))
    });
    if let Some(first) = lines.next() {
        out.push("\n## Not done\n".to_owned());
        out.push(first);
        out.extend(lines);
    }
}

fn goals_of(row: &Row) -> Vec<Goal> {
    catalogue::find(&row.workload).map(|workload| workload.goals).unwrap_or_default()
}

fn outcome<'a>(row: &'a Row, broker: &str) -> Option<&'a Outcome> {
    row.cells.iter().find(|cell| cell.broker == broker).map(|cell| &cell.median)
}

fn references(row: &Row) -> References<'_> {
    References { forwarder: outcome(row, FORWARDER), mosquitto: outcome(row, MOSQUITTO) }
}

fn verdict(goal: Goal, row: &Row) -> String {
    outcome(row, SLUICE).and_then(|ours| goal.is_met(ours, references(row))).map_or_else(dash, met)
}

fn met(met: bool) -> String {
    if met { "met" } else { "**missed**" }.to_owned()
}

fn describe(goal: Goal) -> String {
    match goal {
        Goal::AtMost(_, bound) => format!("≤ {}", number(bound)),
        Goal::AtLeast(_, bound) => format!("≥ {}", number(bound)),
        Goal::TimesForwarder(_, times) => format!("≤ {times} × forwarder"),
        Goal::ShareOfMosquitto(_, share) => format!("≤ 1/{:.0} of mosquitto", 1.0 / share),
    }
}

/// Three significant digits; thousands apart.
pub(super) fn number(value: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    if value.abs() < 1_000.0 {
        let digits = (2.0 - value.abs().log10().floor()).clamp(0.0, 6.0) as usize;
        return format!("{value:.digits$}");
    }
    let whole = format!("{value:.0}");
    let mut grouped = String::new();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

fn number_or_dash(value: Option<f64>) -> String {
    value.map_or_else(dash, number)
}

fn dash() -> String {
    "-".to_owned()
}

fn head(before: &[&str], comparison: &Comparison, after: &[&str], out: &mut Vec<String>) {
    let brokers = comparison.brokers.iter().map(|broker| broker.name.as_str());
    let titles: Vec<String> =
        before.iter().copied().chain(brokers).chain(after.iter().copied()).map(str::to_owned).collect();
    line(&titles, out);
    rule(titles.len(), out);
}

fn line(columns: &[String], out: &mut Vec<String>) {
    out.push(format!("| {} |", columns.join(" | ")));
}

fn rule(columns: usize, out: &mut Vec<String>) {
    out.push(format!("|{}", "---|".repeat(columns)));
}

#[cfg(test)]
mod tests {
    use super::super::Version;
    use super::*;

    fn cell(broker: &str, cpu: Option<f64>) -> Cell {
        let mut median = Outcome::default();
        cpu.into_iter().for_each(|cpu| median.set(Metric::BrokerCpuPerMillion, cpu));
        let error = cpu.is_none().then(|| "it cannot".to_owned());
        Cell { broker: broker.to_owned(), median, runs: Vec::new(), error }
    }

    fn comparison(cells: Vec<Cell>) -> Comparison {
        let brokers = cells.iter().map(|cell| Version { name: cell.broker.clone(), version: "1".to_owned() }).collect();
        let row = Row { workload: "p2p-qos0".to_owned(), about: "pairs".to_owned(), cells };
        Comparison {
            date: "2026-01-02".to_owned(),
            machine: "a machine".to_owned(),
            load_average: "0.1".to_owned(),
            seconds: 4.0,
            repetitions: 3,
            brokers,
            rows: vec![row],
            scaling: Vec::new(),
        }
    }

    #[test]
    fn a_row_shows_each_broker_its_multiple_of_the_forwarder_and_the_bound() {
        let cells = vec![cell(MOSQUITTO, Some(8.0)), cell(FORWARDER, Some(0.1)), cell(SLUICE, Some(0.3))];
        let text = render(&comparison(cells));
        assert!(text.contains("| workload | what | mosquitto | forwarder | sluice | ours at most | met |"), "{text}");
        assert!(text.contains("| p2p-qos0 | pairs | 8.00 (80.0) | 0.100 | 0.300 (3.0) | 0.350 | met |"), "{text}");
        assert!(text.contains("≤ 3.2 × forwarder | 0.320 | 0.300 | met |"), "{text}");
        assert!(text.contains("≤ 1/24 of mosquitto | 0.335 | 0.300 | met |"), "{text}");
    }

    #[test]
    fn a_missed_bound_stands_out() {
        let text = render(&comparison(vec![cell(SLUICE, Some(0.9))]));
        assert!(text.contains("| 0.900 | 0.350 | **missed** |"), "{text}");
        assert!(text.contains("≤ 3.2 × forwarder | - | 0.900 | - |"), "{text}");
    }

    #[test]
    fn what_a_broker_cannot_do_is_a_dash_with_a_reason() {
        let text = render(&comparison(vec![cell(MOSQUITTO, Some(8.0)), cell(FORWARDER, None)]));
        assert!(text.contains("| p2p-qos0 | pairs | 8.00 | - |"), "{text}");
        assert!(text.contains("- p2p-qos0, forwarder: it cannot"), "{text}");
    }

    #[test]
    fn two_workers_are_judged_by_what_a_delivery_costs() {
        let mut comparison = comparison(vec![cell(SLUICE, Some(0.3))]);
        let cells = vec![cell(SLUICE, Some(0.3)), cell("sluice-2", Some(0.32))];
        comparison.scaling.push(Row { workload: "p2p-qos0".to_owned(), about: String::new(), cells });
        assert!(render(&comparison).contains("| p2p-qos0 | - | - | 0.300 | 0.320 | 1.88 | met |"));
    }

    #[test]
    fn numbers_have_three_digits_and_groups() {
        let texts = [0.0, 0.0642, 0.35, 12.34, 999.4, 1_234.0, 13_739_860.8].map(number);
        assert_eq!(texts, ["0", "0.0642", "0.350", "12.3", "999", "1,234", "13,739,861"]);
    }
}
