//! The committed SPIR-V is the result of compiling its WGSL source.
//!
//! Users compile no shader: `shaders/*.spv` is stored beside its source. After a change of a
//! source, `FENCEPOST_WRITE_SHADERS=1 cargo test --test shaders` writes the binaries again.
use naga::back::spv;
use naga::valid::{Capabilities, ValidationFlags, Validator};
use rspirv::binary::{Assemble, ParseState};
use rspirv::dr::Operand;
use rspirv::spirv::{Decoration, Op, StorageClass};
use std::env;
use std::fs;
use std::path::{Path, PathBuf};

/// SPIR-V 1.0, which every Vulkan driver reads, without names of variables.
fn compile(source: &str) -> Result<Vec<u8>, String> {
    let module = naga::front::wgsl::parse_str(source).map_err(|e| e.emit_to_string(source))?;
    let mut validator = Validator::new(ValidationFlags::all(), Capabilities::default());
    let info = validator.validate(&module).map_err(|e| e.emit_to_string(source))?;
    let options = spv::Options {
        lang_version: (1, 0),
        // Coordinates are Vulkan's own; the viewport turns the picture up.
        flags: spv::WriterFlags::empty(),
        // Groups and bindings keep the numbers that the source gives them.
        fake_missing_bindings: true,
        ..spv::Options::default()
    };
    let words =
        spv::write_vec(&module, &info, &options, None).map_err(|error| error.to_string())?;
    let words = without_extensions(&words).map_err(|error| format!("{error:?}"))?;
    Ok(words.into_iter().flat_map(u32::to_le_bytes).collect())
}

/// A module's storage buffers as Vulkan 1.0 has them, without `SPV_KHR_storage_buffer_storage_class`:
/// uniform variables of structs that are buffer blocks.
fn without_extensions(words: &[u32]) -> Result<Vec<u32>, ParseState> {
    let mut module = rspirv::dr::load_words(words)?;
    module.extensions.clear();
    let blocks: Vec<u32> = module
        .types_global_values
        .iter()
        .filter(|made| made.class.opcode == Op::TypePointer)
        .filter(|made| made.operands[0] == Operand::StorageClass(StorageClass::StorageBuffer))
        .filter_map(|made| made.operands[1].id_ref_any())
        .collect();
    for operand in module.all_inst_iter_mut().flat_map(|instruction| &mut instruction.operands) {
        if *operand == Operand::StorageClass(StorageClass::StorageBuffer) {
            *operand = Operand::StorageClass(StorageClass::Uniform);
        }
    }
    for annotation in &mut module.annotations {
        let [Operand::IdRef(target), what @ Operand::Decoration(Decoration::Block)] =
            &mut annotation.operands[..]
        else {
            continue;
        };
        if blocks.contains(target) {
            *what = Operand::Decoration(Decoration::BufferBlock);
        }
    }
    Ok(module.assemble())
}

/// Every WGSL file under `shaders/`, in order.
fn sources() -> Vec<PathBuf> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).expect("the folder of shaders is there") {
            let path = entry.expect("the folder can be read").path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "wgsl") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    walk(&Path::new(env!("CARGO_MANIFEST_DIR")).join("shaders"), &mut found);
    found.sort();
    found
}

#[test]
fn committed_spirv_is_the_source_recompiled() {
    let sources = sources();
    assert!(!sources.is_empty(), "there are no shaders to compare");
    for path in sources {
        let source = fs::read_to_string(&path).expect("a source is text");
        let compiled = compile(&source).unwrap_or_else(|error| panic!("{path:?}\n{error}"));
        let binary = path.with_extension("spv");
        if env::var_os("FENCEPOST_WRITE_SHADERS").is_some() {
            fs::write(&binary, &compiled).expect("the binary can be written");
        }
        let committed = fs::read(&binary).unwrap_or_default();
        assert!(
            committed == compiled,
            "{binary:?} is not what its source compiles to; \
             FENCEPOST_WRITE_SHADERS=1 cargo test --test shaders writes it anew"
        );
    }
}

/// The control of the comparison: it tells one number from another.
#[test]
fn a_changed_source_compiles_to_something_else() {
    let path = sources().into_iter().next().expect("there is a shader");
    let source = fs::read_to_string(&path).expect("a source is text");
    let committed = fs::read(path.with_extension("spv")).expect("its binary is there");
    let constant = format!(
        "{source}\n@fragment fn added() -> @location(0) vec4<f32> {{ return vec4(0.25); }}\n"
    );
    let other = constant.replace("vec4(0.25)", "vec4(0.5)");
    let (constant, other) = (compile(&constant).expect("valid"), compile(&other).expect("valid"));
    assert!(constant != committed, "an added function leaves a trace");
    assert!(constant != other, "a changed number leaves a trace");
}

/// The control of the compiler: what is not WGSL is refused, with the place.
#[test]
fn a_broken_source_is_refused() {
    let error = compile("fn f() -> u32 { return nothing; }").expect_err("an unknown name");
    assert!(error.contains("nothing"), "{error}");
}
