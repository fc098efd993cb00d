//! Metrics in the text format of Prometheus.
//!
//! A process counts in plain integers wherever it likes; when somebody asks, it states its figures in a [`Scrape`], metric
//! by metric, against a table of [`Metric`]s that is the one place with names and help texts. So nothing on a hot path
//! looks up a label, and a name can neither be used twice nor without its documentation.

use prometheus::{
    Encoder as _, TextEncoder,
    core::Collector as _,
    process_collector::ProcessCollector,
    proto::{self, MetricFamily, MetricType},
};

/// What a metric is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Only grows, until the process restarts.
    Counter,
    /// A figure of this moment.
    Gauge,
    /// Observations by size.
    Histogram,
}

impl Kind {
    /// The word of the text format.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// One metric of the table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Metric {
    /// By the rules of Prometheus: base units, `_total` on counters only.
    pub name: &'static str,
    /// One sentence.
    pub help: &'static str,
    /// What it is.
    pub kind: Kind,
    /// The names of its labels, in the order in which values are given.
    pub labels: &'static [&'static str],
}

/// Observations by size.
#[derive(Clone, Copy, Debug)]
pub struct Observations<'a> {
    /// Upper bounds in the metric's unit, ascending, without infinity.
    pub bounds: &'a [f64],
    /// How many observations are in each bucket alone; one more than bounds, the last above all of them.
    pub counts: &'a [u64],
    /// The sum of all observations in the metric's unit.
    pub sum: f64,
}

/// The figures of one moment.
#[derive(Default)]
pub struct Scrape {
    families: Vec<MetricFamily>,
}

impl Scrape {
    /// The content type of [`Self::text`].
    pub const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

    /// No figures yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// States the value of a counter or gauge for one combination of labels.
    ///
    /// # Panics
    /// When the metric is a histogram, or there are not as many labels as it has.
    #[allow(clippy::cast_precision_loss)]
    pub fn set(&mut self, metric: &Metric, labels: &[&str], value: impl IntoValue) {
        let mut sample = labelled(metric, labels);
        match metric.kind {
            Kind::Counter => {
                let mut counter = proto::Counter::default();
                counter.set_value(value.into_value());
                sample.set_counter(counter);
            }
            Kind::Gauge => {
                let mut gauge = proto::Gauge::default();
                gauge.set_value(value.into_value());
                sample.set_gauge(gauge);
            }
            Kind::Histogram => panic!("{} is a histogram", metric.name),
        }
        self.family(metric).mut_metric().push(sample);
    }

    /// States the observations of a histogram for one combination of labels.
    ///
    /// # Panics
    /// When the metric is no histogram, or the numbers of labels or buckets do not fit.
    pub fn observe(&mut self, metric: &Metric, labels: &[&str], observations: &Observations<'_>) {
        assert_eq!(metric.kind, Kind::Histogram, "{} is no histogram", metric.name);
        assert_eq!(observations.counts.len(), observations.bounds.len() + 1, "buckets of {}", metric.name);
        let mut total = 0;
        let mut buckets = Vec::with_capacity(observations.bounds.len());
        for (bound, count) in observations.bounds.iter().zip(observations.counts) {
            total += count;
            let mut bucket = proto::Bucket::default();
            bucket.set_upper_bound(*bound);
            bucket.set_cumulative_count(total);
            buckets.push(bucket);
        }
        total += observations.counts[observations.bounds.len()];
        let mut histogram = proto::Histogram::default();
        histogram.set_bucket(buckets);
        histogram.set_sample_count(total);
        histogram.set_sample_sum(observations.sum);
        let mut sample = labelled(metric, labels);
        sample.set_histogram(histogram);
        self.family(metric).mut_metric().push(sample);
    }

    /// Adds what the kernel says of this process: CPU, memory, descriptors, threads, start time.
    pub fn process(&mut self) {
        self.families.extend(ProcessCollector::for_self().collect());
    }

    /// The text that Prometheus reads.
    #[must_use]
    pub fn text(&self) -> String {
        let mut bytes = Vec::with_capacity(16 * 1024);
        let stated: Vec<MetricFamily> = self.families.iter().filter(|f| !f.get_metric().is_empty()).cloned().collect();
        if let Err(error) = TextEncoder::new().encode(&stated, &mut bytes) {
            // Cannot happen: writing to memory does not fail and families without samples were left out.
            tracing::error!(%error, "metrics were not encoded");
        }
        String::from_utf8(bytes).unwrap_or_default()
    }

    fn family(&mut self, metric: &Metric) -> &mut MetricFamily {
        let known = self.families.iter().position(|family| family.name() == metric.name);
        let place = known.unwrap_or_else(|| {
            let mut family = MetricFamily::default();
            family.set_name(metric.name.to_owned());
            family.set_help(metric.help.to_owned());
            family.set_field_type(match metric.kind {
                Kind::Counter => MetricType::COUNTER,
                Kind::Gauge => MetricType::GAUGE,
                Kind::Histogram => MetricType::HISTOGRAM,
            });
            self.families.push(family);
            self.families.len() - 1
        });
        &mut self.families[place]
    }
}

/// What can be the value of a counter or gauge.
pub trait IntoValue {
    /// The value as the text format has it.
    fn into_value(self) -> f64;
}

macro_rules! into_value {
    ($($integer:ty),*) => {$(
        impl IntoValue for $integer {
            #[allow(clippy::cast_precision_loss)]
            fn into_value(self) -> f64 {
                self as f64
            }
        }
    )*};
}

into_value!(u32, u64, i64, usize, f64);

impl IntoValue for bool {
    fn into_value(self) -> f64 {
        f64::from(u8::from(self))
    }
}

fn labelled(metric: &Metric, values: &[&str]) -> proto::Metric {
    assert_eq!(values.len(), metric.labels.len(), "labels of {}", metric.name);
    let pairs = metric.labels.iter().zip(values).map(|(name, value)| {
        let mut pair = proto::LabelPair::default();
        pair.set_name((*name).to_owned());
        pair.set_value((*value).to_owned());
        pair
    });
    proto::Metric::from_label(pairs.collect())
}

/// What is wrong with a table of metrics by the rules of Prometheus; nothing, one hopes.
#[must_use]
pub fn lint(table: &[&Metric]) -> Vec<String> {
    let mut faults = Vec::new();
    let mut names: Vec<&str> = table.iter().map(|metric| metric.name).collect();
    names.sort_unstable();
    faults.extend(names.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| format!("{} is there twice", pair[0])));
    for metric in table {
        let name = metric.name;
        let counts = metric.kind == Kind::Counter;
        let fault = if counts != name.ends_with("_total") {
            "counters, and only they, end in _total"
        } else if ["_ms", "_millis", "_us", "_kb", "_mb"].iter().any(|unit| name.contains(unit)) {
            "use base units"
        } else if !name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_') {
            "odd characters"
        } else if !metric.help.ends_with('.') {
            "the help text is a sentence"
        } else {
            continue;
        };
        faults.push(format!("{name}: {fault}"));
    }
    faults
}

/// A reference page with its generated part made anew: what stands before its dividing line is kept.
///
/// # Errors
/// The page has no such line.
pub fn page(page: &str, all: &[&Metric]) -> Result<String, &'static str> {
    let (by_hand, _) = page.split_once(GENERATED).ok_or("the line that divides the page is missing")?;
    let mut fresh = format!("{by_hand}{GENERATED}\n| Metric | Kind | Labels | Meaning |\n|---|---|---|---|\n");
    for metric in all {
        let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        fresh += &format!("| `{}` | {} | {} | {} |\n", metric.name, metric.kind.name(), labels.join(", "), metric.help);
    }
    Ok(fresh)
}

/// What divides the part of a reference page that people write from the rest.
const GENERATED: &str = "<!-- The rest of this page is generated from the code. -->\n";

#[cfg(test)]
mod tests {
    use super::*;

    const OPENED: Metric =
        Metric { name: "x_opened_total", help: "Doors opened.", kind: Kind::Counter, labels: &["door", "by"] };
    const OPEN: Metric = Metric { name: "x_open", help: "Doors open now.", kind: Kind::Gauge, labels: &[] };
    const WAIT: Metric = Metric { name: "x_wait_seconds", help: "Time.", kind: Kind::Histogram, labels: &["path"] };

    #[test]
    fn figures_become_text_with_labels_escaped() {
        let mut scrape = Scrape::new();
        scrape.set(&OPENED, &["front", "me"], 3_u64);
        scrape.set(&OPEN, &[], -1_i64);
        scrape.set(&OPENED, &["ba\"ck\n", "you"], 4_u64);
        let bounds = [0.001, 0.01];
        scrape.observe(&WAIT, &["local"], &Observations { bounds: &bounds, counts: &[1, 2, 3], sum: 0.5 });
        assert_eq!(
            scrape.text(),
            "# HELP x_opened_total Doors opened.\n# TYPE x_opened_total counter\n\
             x_opened_total{door=\"front\",by=\"me\"} 3\nx_opened_total{door=\"ba\\\"ck\\n\",by=\"you\"} 4\n\
             # HELP x_open Doors open now.\n# TYPE x_open gauge\nx_open -1\n\
             # HELP x_wait_seconds Time.\n# TYPE x_wait_seconds histogram\n\
             x_wait_seconds_bucket{path=\"local\",le=\"0.001\"} 1\nx_wait_seconds_bucket{path=\"local\",le=\"0.01\"} 3\n\
             x_wait_seconds_bucket{path=\"local\",le=\"+Inf\"} 6\nx_wait_seconds_sum{path=\"local\"} 0.5\n\
             x_wait_seconds_count{path=\"local\"} 6\n"
        );
    }

    #[test]
    fn the_process_is_described() {
        let mut scrape = Scrape::new();
        scrape.process();
        let text = scrape.text();
        for name in ["process_resident_memory_bytes", "process_open_fds", "process_cpu_seconds_total"] {
            assert!(text.contains(&format!("\n{name} ")), "{name}");
        }
    }

    #[test]
    fn names_against_the_rules_are_found() {
        assert!(lint(&[&OPENED, &OPEN, &WAIT]).is_empty());
        let bad = Metric { name: "x_wait_ms", ..OPEN };
        let worse = Metric { name: "x_opened", ..OPENED };
        assert_eq!(
            lint(&[&bad, &worse, &OPEN, &OPEN]),
            ["x_open is there twice", "x_wait_ms: use base units", "x_opened: counters, and only they, end in _total"]
        );
    }
}
