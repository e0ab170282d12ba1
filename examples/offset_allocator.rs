//! Ranges of anything, without Vulkan: here the rows of a table with 1000 rows.
//!
//! ```text
//! cargo run --example offset_allocator
//! ```
use fencepost::tlsf::{Config, Tlsf};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut rows = Tlsf::new(&Config::new(1000, 1))?;
    let first = rows.allocate(300, 1)?;
    let second = rows.allocate(300, 64)?;
    println!("rows {} and {} begin ranges of 300", first.offset, second.offset);

    rows.free(first.key)?;
    println!("{} of 1000 rows are free", rows.free_bytes());
    println!("a second free is refused: {}", rows.free(first.key).unwrap_err());
    Ok(())
}
