// A workgroup goes through an image by `walk(image, thread)`, images in rows of GRID_X.
@compute @workgroup_size({{THREADS}})
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
    let image = group.y * {{GRID_X}}u + group.x;
    if image < IMAGES {
        walk(image, thread);
    }
}
