//! `bindings MODULE.wasm DIR`: writes `kiln.js` and `kiln_bg.wasm`.

use wasm_bindgen_cli_support::Bindgen;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(module), Some(folder), None) = (arguments.next(), arguments.next(), arguments.next()) else {
        return Err("takes a module and a folder".into());
    };
    let mut bindgen = Bindgen::new();
    bindgen.input_path(module).web(true)?.typescript(false).omit_default_module_path(false).remove_name_section(true).remove_producers_section(true);
    Ok(bindgen.generate(folder)?)
}
