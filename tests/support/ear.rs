//! A subscriber that receives everything.
#![allow(dead_code, reason = "each test target uses its own part")]

use std::{
    collections::BTreeMap,
    fmt::Debug,
    sync::{Arc, Mutex},
};

use tracing::Level;
use tracing_subscriber::{Layer, layer::Context, prelude::*};

/// An event: its level, and its fields as text, with the message as `message`.
#[derive(Clone, Debug)]
pub struct Told {
    pub target: String,
    pub level: Level,
    pub fields: BTreeMap<&'static str, String>,
}

/// Receives everything.
#[derive(Clone, Default)]
pub struct Ear(Arc<Mutex<Vec<Told>>>);

impl<S: tracing::Subscriber> Layer<S> for Ear {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        struct Fields(BTreeMap<&'static str, String>);
        impl tracing::field::Visit for Fields {
            fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn Debug) {
                self.0.insert(field.name(), format!("{value:?}"));
            }
        }
        let mut fields = Fields(BTreeMap::new());
        event.record(&mut fields);
        let metadata = event.metadata();
        let target = metadata.target().to_owned();
        self.0.lock().unwrap().push(Told { target, level: *metadata.level(), fields: fields.0 });
    }
}

impl Ear {
    /// The events while `act` runs.
    pub fn hear(act: impl FnOnce()) -> Vec<Told> {
        let ear = Self::default();
        tracing::subscriber::with_default(tracing_subscriber::registry().with(ear.clone()), act);
        let told = ear.0.lock().unwrap().clone();
        assert!(told.iter().all(|one| one.target.starts_with("fencepost::")), "{told:?}");
        told
    }
}

/// The events of a target, each of which must have the fields in the table.
pub fn of(told: &[Told], target: &str, level: Level, fields: &[&str]) -> Vec<Told> {
    let of_target = told.iter().filter(|one| one.target == target && one.level == level);
    let with = of_target.filter(|one| fields.iter().all(|field| one.fields.contains_key(field)));
    let with: Vec<_> = with.cloned().collect();
    assert!(!with.is_empty(), "no event of {target} at {level} with {fields:?}: {told:#?}");
    with
}
