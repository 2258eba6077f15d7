//! First weights that are set from the first batch, where a model has such.

use super::Trainer;
use crate::cpu::Arena;
use crate::data::Batch;
use crate::error::Result;
use crate::lanes::Lanes;

impl Trainer {
    /// Sets first weights by the first pass of the first step, and begins their averages there. Of several lanes each sets its own, and the
    /// run begins at their mean.
    pub(super) async fn set_out(&mut self, data: &Batch) -> Result<()> {
        let Some(starts) = self.model.starts() else { return Ok(()) };
        let train = &self.recipe.train;
        let graph = starts.start_graph(train.lane())?;
        let mut lanes = Lanes::new(&self.device, &graph, &self.state, train.lanes, &self.ranks).await?;
        let (share, step) = (self.share(), self.step_at(1, 0));
        let fill = |program: &mut crate::runtime::Program, lane| {
            let (values, labels) = share.of(data, 0, lane);
            program.write("x", &values[..share.items * share.item])?;
            if share.classes > 0 {
                program.write("labels", &crate::data::one_hot(&labels[..share.items], share.classes, share.items))?;
            }
            Ok(crate::graph::Step { first_item: (lane * share.items) as u32, ..step })
        };
        lanes.run(&mut self.state, fill, &[], false).await?;
        for id in self.state.spec().ids() {
            let values = self.state.read(id, Arena::Value).await?;
            self.state.write(id, Arena::Average, &values)?;
        }
        Ok(())
    }
}
