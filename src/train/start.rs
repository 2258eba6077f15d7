//! First weights that are set from the first batch, where a model has such.

use super::Trainer;
use crate::cpu::Arena;
use crate::data::{Batch, one_hot};
use crate::error::Result;
use crate::runtime::{Program, Weights};

impl Trainer {
    /// Sets first weights by the first pass of the first step, and begins their averages there.
    pub(super) async fn set_out(&mut self, data: &Batch) -> Result<()> {
        let Some(starts) = self.model.starts() else { return Ok(()) };
        let (items, classes) = (self.recipe.train.batch, self.recipe.data.classes);
        let mut program = Program::new(&self.device, &starts.start_graph(items)?, &self.state, Weights::Current).await?;
        program.write("x", &data.values[..items * self.recipe.data.dims.iter().product::<usize>()])?;
        if classes > 0 {
            program.write("labels", &one_hot(&data.labels[..items], classes, items))?;
        }
        let step = self.step_at(1, 0);
        program.run(&mut self.state, &step).await?;
        for id in self.state.spec().ids() {
            let values = self.state.read(id, Arena::Value).await?;
            self.state.write(id, Arena::Average, &values)?;
        }
        Ok(())
    }
}
