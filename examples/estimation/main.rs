//! The estimation ladder judged by masking: tables of two cities that the uncertainties were set by, and of
//! two others that they are held against.
//!
//! "within" is the part of the hours that the stated uncertainty contains, and should be about 80 %;
//! "stretch" is what the uncertainty would have to be multiplied by for that.
#![expect(clippy::print_stdout, reason = "a command that prints tables")]

mod masking;

use std::error::Error;

use self::masking::{all_classes, judge_all, setting_cities, verifying_cities};

fn main() -> Result<(), Box<dyn Error>> {
    for (name, cities) in [
        ("Set by", setting_cities()),
        ("Held against", verifying_cities()),
    ] {
        for city in &cities {
            let [north, south] = city.pipe_volumes_m3;
            let (seed, from) = (city.seed, city.start_on());
            println!("{name} seed {seed}, from {from}, pipes of {north} and {south} m³");
        }
        println!();
        let scores = judge_all(cities)?;
        println!("| step | hours missing | hours estimated | error | bias | within | stretch |");
        println!("|---|---|---|---|---|---|---|");
        for ((step, gap), score) in all_classes(&scores) {
            println!("| {step} | {gap} | {} |", cells(&score));
        }
        println!("\nBy class, 24 hours missing:\n");
        println!("| step | class | hours estimated | error | bias | within | stretch |");
        println!("|---|---|---|---|---|---|---|");
        for ((step, class, gap), score) in &scores {
            if *gap == 24 {
                println!("| {step} | {class} | {} |", cells(score));
            }
        }
        println!();
    }
    Ok(())
}

fn cells(score: &masking::Score) -> String {
    let percent = |part: f64| part * 100.0;
    format!(
        "{} | {:.1} % | {:+.1} % | {:.0} % | {:.2}",
        score.hours,
        percent(score.error()),
        percent(score.bias()),
        percent(score.within()),
        score.stretch()
    )
}
