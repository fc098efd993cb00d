//! What commands ask of the world: control, files, whoever sits at the terminal. Commands decide; what implements this does.

use std::{path::Path, time::Duration};

use serde_json::Value;

use crate::{
    failure::Failure,
    request::{Answer, Request},
    route::Route,
};

/// The world as commands see it.
pub trait World {
    /// Asks control. An answer that refuses is an answer.
    ///
    /// # Errors
    /// Control cannot be reached.
    fn send(&mut self, request: &Request) -> Result<Answer, Failure>;

    /// Puts a question that yes or no answers.
    ///
    /// # Errors
    /// Nobody is there to answer.
    fn confirm(&mut self, question: &str) -> Result<bool, Failure>;

    /// Says something that is not the result.
    fn note(&mut self, text: &str);

    /// Shows a part of the result at once, while more may come.
    ///
    /// # Errors
    /// Nobody reads.
    fn show(&mut self, text: &str) -> Result<(), Failure>;

    /// Makes the screen empty, if there is one.
    fn clear(&mut self);

    /// Lets time pass.
    fn pause(&mut self, time: Duration);

    /// Reads a file; `-` is what is piped in.
    ///
    /// # Errors
    /// It cannot be read.
    fn read(&mut self, path: &Path) -> Result<String, Failure>;

    /// Writes a file that only its owner can read.
    ///
    /// # Errors
    /// It cannot be written.
    fn write(&mut self, path: &Path, text: &str) -> Result<(), Failure>;
}

/// Asks control, and takes no refusal for an answer.
///
/// # Errors
/// Control cannot be reached, or refuses.
pub fn ask(world: &mut dyn World, request: &Request) -> Result<Answer, Failure> {
    let answer = world.send(request)?;
    if (200..300).contains(&answer.status) { Ok(answer) } else { Err(Failure::refused(answer.status, &answer.text)) }
}

/// Asks control for JSON.
///
/// # Errors
/// As for [`ask`], or the answer is no JSON.
pub fn json(world: &mut dyn World, request: &Request) -> Result<Value, Failure> {
    ask(world, request)?.json()
}

/// Asks for a list and puts its pages together: all entries, and of the rest what the first page says.
///
/// # Errors
/// As for [`json`].
pub fn list(world: &mut dyn World, route: Route) -> Result<Value, Failure> {
    let page = |cursor: Option<&str>| {
        let request = Request::to(route).query("limit", PAGE);
        cursor.map_or(request.clone(), |cursor| request.query("cursor", cursor))
    };
    let mut all = json(world, &page(None))?;
    let mut cursor = next(&all);
    while let Some(at) = cursor {
        let mut more = json(world, &page(Some(&at)))?;
        // A list that does not go on would never end.
        cursor = next(&more).filter(|next| *next > at);
        let (Some(Value::Array(entries)), Some(Value::Array(items))) = (more.get_mut("items"), all.get_mut("items"))
        else {
            break;
        };
        items.append(entries);
    }
    if let Some(last) = all.get_mut("next_cursor") {
        *last = Value::Null;
    }
    Ok(all)
}

fn next(page: &Value) -> Option<String> {
    page.get("next_cursor")?.as_str().map(str::to_owned)
}

/// Entries of a page: as many as control gives.
const PAGE: u32 = 1000;
