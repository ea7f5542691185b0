//! What stands behind the figures where it is less than a regression on a node's own history.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::{Writer, escaped, wan};
use crate::domain::language::Language;
use crate::forecast::models::daily::REGRESSION;
use crate::serve::figures::methods::NodeMethod;

/// A model by name: Chinese, English; its own key where it has none.
fn name_of(model: &str, words: Language) -> &str {
    let (zh, en) = match model {
        "class_profile_scaled" => ("同类曲线 × 自身水平", "class profile × own level"),
        "class_profile_design_flow" => (
            "同类曲线 × 设计流量 × 达产",
            "class profile × design flow × ramp",
        ),
        "class_profile" => ("同类曲线", "class profile"),
        "seasonal_naive" => ("季节朴素", "seasonal naive"),
        "recent_mean" => ("近日均值", "recent mean"),
        "new_connection" => ("新增项目", "new connection"),
        _ => (model, model),
    };
    words.of(zh, en)
}

impl Writer<'_> {
    /// One line for each lesser model: which nodes, and how much of tomorrow.
    pub(super) fn methods(&mut self) {
        let mut lesser: BTreeMap<&str, Vec<&NodeMethod>> = BTreeMap::new();
        for node in &self.report.methods {
            if node.model != REGRESSION {
                lesser.entry(&node.model).or_default().push(node);
            }
        }
        for (model, nodes) in lesser {
            let m3 = nodes.iter().filter_map(|n| n.p50_m3).sum();
            let names: Vec<String> = nodes
                .iter()
                .map(|node| match self.words {
                    Language::Zh => format!("{} {}", node.zone_name, node.class_zh),
                    Language::En => format!("{} {}", node.zone_name, node.class_en),
                })
                .collect();
            let (title, when, unit, between) = (
                self.say("历史不足,按", "Short history, by"),
                self.say("明日", "tomorrow"),
                self.say("万m³", "10⁴ m³"),
                self.say("、", ", "),
            );
            _ = write!(
                self.out,
                "<p class=\"muted\" data-model=\"{}\">{title} {}: {} · {when} {} {unit}</p>",
                escaped(model),
                escaped(name_of(model, self.words)),
                escaped(&names.join(between)),
                wan(m3),
            );
        }
    }
}
