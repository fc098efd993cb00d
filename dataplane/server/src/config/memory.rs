//! How much memory the broker may use for its clients.

use std::{borrow::Cow, fmt, fs, str::FromStr};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use sluice_service::config::Bytes;

/// A bound on the memory of sessions, queues and outboxes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum MemoryBudget {
    /// Half of what the process may use: the other half is for the store, the kernel's socket buffers and the code.
    #[default]
    Auto,
    /// No bound.
    Off,
    /// This much.
    Exactly(Bytes),
}

impl MemoryBudget {
    /// In bytes; 0 = no bound, also where the machine does not say what it has.
    #[must_use]
    pub fn bytes(self) -> u64 {
        match self {
            Self::Auto => available_bytes().unwrap_or(0) / 2,
            Self::Off => 0,
            Self::Exactly(bytes) => bytes.0,
        }
    }
}

/// What the process may use: the machine's memory, or the bound of its control group where that is smaller.
fn available_bytes() -> Option<u64> {
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| total_of_meminfo(&text));
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let group = groups.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or("/");
    let bound = |file: &str| fs::read_to_string(file).ok()?.trim().parse::<u64>().ok();
    // The second is what a container sees of its own group.
    let bounds = [format!("/sys/fs/cgroup{group}/memory.max"), "/sys/fs/cgroup/memory.max".into()];
    bounds.iter().filter_map(|file| bound(file)).chain(machine).min()
}

fn total_of_meminfo(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

impl FromStr for MemoryBudget {
    type Err = <Bytes as FromStr>::Err;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            "off" => Ok(Self::Off),
            amount => amount.parse().map(Self::Exactly),
        }
    }
}

impl fmt::Display for MemoryBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Off => f.write_str("off"),
            Self::Exactly(bytes) => bytes.fmt(f),
        }
    }
}

impl Serialize for MemoryBudget {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for MemoryBudget {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = MemoryBudget;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("auto, off or a number of bytes such as 2GiB")
            }

            fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<MemoryBudget, E> {
                Ok(MemoryBudget::Exactly(Bytes(bytes)))
            }

            fn visit_bool<E: de::Error>(self, on: bool) -> Result<MemoryBudget, E> {
                // `off` is a boolean in older YAML, and tools write it as such.
                Ok(if on { MemoryBudget::Auto } else { MemoryBudget::Off })
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<MemoryBudget, E> {
                text.parse().map_err(E::custom)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

impl JsonSchema for MemoryBudget {
    fn schema_name() -> Cow<'static, str> {
        "memory budget".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "integer"], "format": "`auto`, `off`, bytes" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_a_word_or_an_amount() {
        assert_eq!("auto".parse(), Ok(MemoryBudget::Auto));
        assert_eq!("2GiB".parse(), Ok(MemoryBudget::Exactly(Bytes::mib(2048))));
        assert_eq!(MemoryBudget::Off.bytes(), 0);
        assert!("half".parse::<MemoryBudget>().is_err());
    }

    #[test]
    fn the_machine_says_how_much_memory_it_has() {
        assert_eq!(total_of_meminfo("MemFree: 1 kB\nMemTotal:       2048 kB\n"), Some(2048 * 1024));
        assert_eq!(total_of_meminfo("nothing"), None);
        assert!(MemoryBudget::Auto.bytes() > 1 << 20);
    }
}
