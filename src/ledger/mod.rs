//! The ledger of large consumers (用气量较大企业气量监控台账) and demand summed from curves.
