//! The scenarios, with one file for each guarantee.

mod clean;
mod contents;
mod corruption;
mod defragment;
mod ends;
mod external;
mod guard_choices;
mod guard_shader;
mod hazard;
mod image;
mod lag;
mod marathon;
mod order;
mod pending;
mod planes;
mod pool;
mod reuse;
mod scrub;
mod threads;

use crate::harness::Scenario;

/// All scenarios, in the order of the report.
pub(crate) fn all() -> Vec<Scenario> {
    [
        contents::scenarios(),
        pending::scenarios(),
        pool::scenarios(),
        threads::scenarios(),
        order::scenarios(),
        image::scenarios(),
        planes::scenarios(),
        hazard::scenarios(),
        reuse::scenarios(),
        defragment::scenarios(),
        clean::scenarios(),
        ends::scenarios(),
        external::scenarios(),
        corruption::scenarios(),
        scrub::scenarios(),
        guard_choices::scenarios(),
        guard_shader::scenarios(),
        lag::scenarios(),
        marathon::scenarios(),
    ]
    .concat()
}
