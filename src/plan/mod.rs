//! Declaration plans at least expected cost. Pure but for the workbook writer's bytes.
