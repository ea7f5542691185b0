//! One printed sheet: formats, cells, headings, print set-up.

use rust_xlsxwriter::utility::row_col_to_cell;
use rust_xlsxwriter::{Format, FormatAlign, FormatBorder, Formula, Worksheet, XlsxError};

use crate::domain::quantity::ReferenceConditions;
use crate::plan::PlanError;

/// Most columns a page has; names of cells are looked up, never counted on fingers.
pub(super) fn cell(row: u32, col: u16) -> String {
    row_col_to_cell(row, col)
}

/// `A1:B2` of a block.
pub(super) fn range(from_row: u32, from_col: u16, to_row: u32, to_col: u16) -> String {
    format!("{}:{}", cell(from_row, from_col), cell(to_row, to_col))
}

/// A cell of another sheet.
pub(super) fn on(sheet: &str, row: u32, col: u16) -> String {
    format!("'{sheet}'!{}", cell(row, col))
}

/// Height in points of a row that shows all of a wrapped text in a column of this width; a Chinese
/// character is as wide as two others.
pub(super) fn height_of(text: &str, width: f64) -> f64 {
    let units: usize = text
        .chars()
        .map(|mark| if mark.is_ascii() { 1 } else { 2 })
        .sum();
    // A line breaks a little before its end, lest a number be torn.
    15.0 * (units as f64 / (width - 3.0)).ceil().max(1.0) + 2.0
}

/// A position among at most a few hundred rows.
pub(super) fn row_of(position: usize) -> u32 {
    u32::try_from(position).unwrap_or(u32::MAX)
}

/// A position among at most a few dozen columns.
pub(super) fn col_of(position: usize) -> u16 {
    u16::try_from(position).unwrap_or(u16::MAX)
}

/// 万m³ of whole m³, as a number.
pub(super) fn wan(m3: i64) -> f64 {
    m3 as f64 / 10_000.0
}

/// How a number cell looks.
#[derive(Debug, Clone, Copy)]
pub(super) enum Look {
    /// 万m³, four decimals.
    Wan,
    /// 万m³ of a total.
    WanTotal,
    /// 万m³, red above zero (缺口).
    Gap,
    /// Percent, two decimals.
    Percent,
    /// Whole number.
    Whole,
    /// Two decimals.
    Two,
    /// Four decimals (ratios).
    Four,
}

/// The formats of a workbook.
#[derive(Debug)]
pub(super) struct Styles {
    title: Format,
    note: Format,
    note_right: Format,
    head: Format,
    text: Format,
    text_left: Format,
    label_total: Format,
    signature: Format,
    numbers: [Format; 7],
    /// What volumes refer to, as it stands beside the unit; empty where the document does not say.
    conditions: String,
}

impl Styles {
    /// Those of a document whose volumes are at `reference` conditions; earlier programs did not keep them.
    pub(super) fn new(reference: Option<ReferenceConditions>) -> Self {
        let plain = || Format::new().set_font_name("宋体").set_font_size(10);
        let boxed = || {
            plain()
                .set_border(FormatBorder::Thin)
                .set_align(FormatAlign::VerticalCenter)
        };
        let number = |pattern: &str| {
            boxed()
                .set_align(FormatAlign::Right)
                .set_num_format(pattern)
        };
        Self {
            title: plain()
                .set_bold()
                .set_font_size(16)
                .set_align(FormatAlign::Center)
                .set_align(FormatAlign::VerticalCenter),
            note: plain().set_align(FormatAlign::Left),
            note_right: plain().set_align(FormatAlign::Right),
            head: boxed()
                .set_bold()
                .set_text_wrap()
                .set_align(FormatAlign::Center)
                .set_background_color(0x00DD_E6F0_u32),
            text: boxed().set_align(FormatAlign::Center).set_text_wrap(),
            text_left: boxed().set_align(FormatAlign::Left).set_text_wrap(),
            label_total: boxed()
                .set_bold()
                .set_align(FormatAlign::Center)
                .set_background_color(0x00F2_F2F2_u32),
            signature: plain()
                .set_border_bottom(FormatBorder::Thin)
                .set_align(FormatAlign::Left),
            numbers: [
                number("#,##0.0000"),
                number("#,##0.0000")
                    .set_bold()
                    .set_background_color(0x00F2_F2F2_u32),
                number("[Red]#,##0.0000;-#,##0.0000;0.0000"),
                number("0.00%"),
                number("#,##0"),
                number("#,##0.00"),
                number("0.0000"),
            ],
            conditions: reference.map_or_else(String::new, |of| format!("（{}）", of.zh())),
        }
    }

    fn number(&self, look: Look) -> &Format {
        let [wan, wan_total, gap, percent, whole, two, four] = &self.numbers;
        match look {
            Look::Wan => wan,
            Look::WanTotal => wan_total,
            Look::Gap => gap,
            Look::Percent => percent,
            Look::Whole => whole,
            Look::Two => two,
            Look::Four => four,
        }
    }
}

/// What is unknown is printed as a dash, never as zero.
const UNKNOWN: &str = "—";

/// A sheet being written.
pub(super) struct Page<'a> {
    /// The sheet.
    pub(super) sheet: &'a mut Worksheet,
    styles: &'a Styles,
}

type Done = Result<(), XlsxError>;

impl<'a> Page<'a> {
    pub(super) fn new(sheet: &'a mut Worksheet, styles: &'a Styles) -> Self {
        Self { sheet, styles }
    }

    /// Title over all columns, a note below it on the left; on the right the unit, of volumes with the
    /// conditions they refer to.
    pub(super) fn heading(&mut self, title: &str, note: &str, unit: &str, last_col: u16) -> Done {
        self.sheet
            .merge_range(0, 0, 0, last_col, title, &self.styles.title)?;
        self.sheet.set_row_height(0, 28)?;
        self.sheet
            .write_string_with_format(1, 0, note, &self.styles.note)?;
        let conditions = if unit.contains("m³") {
            self.styles.conditions.as_str()
        } else {
            ""
        };
        let unit = format!("{unit}{conditions}");
        self.sheet
            .write_string_with_format(1, last_col, unit, &self.styles.note_right)?;
        Ok(())
    }

    /// Column heads in one row: text and width in characters.
    pub(super) fn heads(&mut self, row: u32, heads: &[(String, f64)]) -> Done {
        for (col, (text, width)) in heads.iter().enumerate() {
            let col = col_of(col);
            self.sheet
                .write_string_with_format(row, col, text, &self.styles.head)?;
            self.sheet.set_column_width(col, *width)?;
        }
        self.sheet.set_row_height(row, 36)?;
        Ok(())
    }

    /// A column head without a width of its own.
    pub(super) fn head(&mut self, row: u32, col: u16, text: &str) -> Done {
        self.sheet
            .write_string_with_format(row, col, text, &self.styles.head)?;
        Ok(())
    }

    /// A head over several columns.
    pub(super) fn head_across(&mut self, row: u32, from: u16, to: u16, text: &str) -> Done {
        if from == to {
            return self.head(row, from, text);
        }
        self.sheet
            .merge_range(row, from, row, to, text, &self.styles.head)?;
        Ok(())
    }

    pub(super) fn text(&mut self, row: u32, col: u16, text: &str) -> Done {
        self.sheet
            .write_string_with_format(row, col, text, &self.styles.text)?;
        Ok(())
    }

    pub(super) fn text_left(&mut self, row: u32, col: u16, text: &str) -> Done {
        self.sheet
            .write_string_with_format(row, col, text, &self.styles.text_left)?;
        Ok(())
    }

    /// A text over several rows of a column.
    pub(super) fn text_down(&mut self, from_row: u32, to_row: u32, col: u16, text: &str) -> Done {
        if from_row == to_row {
            return self.text(from_row, col, text);
        }
        self.sheet
            .merge_range(from_row, col, to_row, col, text, &self.styles.text)?;
        Ok(())
    }

    /// A text over several columns of a row.
    pub(super) fn text_across(&mut self, row: u32, from: u16, to: u16, text: &str) -> Done {
        self.sheet
            .merge_range(row, from, row, to, text, &self.styles.text_left)?;
        Ok(())
    }

    /// A label over several columns of a total row.
    pub(super) fn label(&mut self, row: u32, from_col: u16, to_col: u16, text: &str) -> Done {
        if from_col == to_col {
            self.sheet
                .write_string_with_format(row, from_col, text, &self.styles.label_total)?;
        } else {
            self.sheet
                .merge_range(row, from_col, row, to_col, text, &self.styles.label_total)?;
        }
        Ok(())
    }

    pub(super) fn unknown(&mut self, row: u32, col: u16) -> Done {
        self.text(row, col, UNKNOWN)
    }

    pub(super) fn number(&mut self, row: u32, col: u16, value: f64, look: Look) -> Done {
        self.sheet
            .write_number_with_format(row, col, value, self.styles.number(look))?;
        Ok(())
    }

    /// Whole m³ shown as 万m³.
    pub(super) fn wan(&mut self, row: u32, col: u16, m3: i64) -> Done {
        self.number(row, col, wan(m3), Look::Wan)
    }

    pub(super) fn wan_or_unknown(&mut self, row: u32, col: u16, m3: Option<i64>) -> Done {
        match m3 {
            Some(m3) => self.wan(row, col, m3),
            None => self.unknown(row, col),
        }
    }

    /// A live formula with the result it has now, so that readers that do not calculate see it.
    pub(super) fn formula(
        &mut self,
        row: u32,
        col: u16,
        formula: &str,
        result: f64,
        look: Look,
    ) -> Done {
        let shown = match look {
            Look::Wan | Look::WanTotal | Look::Gap => format!("{result:.4}"),
            _ => format!("{result}"),
        };
        let formula = Formula::new(format!("={formula}")).set_result(shown);
        self.sheet
            .write_formula_with_format(row, col, formula, self.styles.number(look))?;
        Ok(())
    }

    /// A live formula over cells that are filled by hand: unknown (`"—"`, as the formula must say) until they are.
    pub(super) fn formula_by_hand(
        &mut self,
        row: u32,
        col: u16,
        formula: &str,
        look: Look,
    ) -> Done {
        let formula = Formula::new(format!("={formula}")).set_result(UNKNOWN);
        self.sheet
            .write_formula_with_format(row, col, formula, self.styles.number(look))?;
        Ok(())
    }

    /// The sheet of a document that was made before the program had it.
    pub(super) fn of_earlier_program(&mut self, last_col: u16) -> Result<(), PlanError> {
        self.note(
            3,
            "本版本由较早版本的程序编制，没有此表内容；重新编制即有。",
        )?;
        self.print(3, last_col, 0, 0)?;
        Ok(())
    }

    /// A live total in 万m³ whose result is known in whole m³.
    pub(super) fn total(&mut self, row: u32, col: u16, formula: &str, m3: i64) -> Done {
        self.formula(row, col, formula, wan(m3), Look::WanTotal)
    }

    /// The sum of a column.
    pub(super) fn column_sum(
        &mut self,
        row: u32,
        col: u16,
        from_row: u32,
        to_row: u32,
        m3: i64,
    ) -> Done {
        let formula = format!("SUM({})", range(from_row, col, to_row, col));
        self.total(row, col, &formula, m3)
    }

    /// The check row: this sheet's figure less that of another, zero to 0.0001 万m³.
    pub(super) fn check(
        &mut self,
        row: u32,
        col: u16,
        own: &str,
        other: &str,
        difference_m3: i64,
    ) -> Done {
        let formula = format!("ROUND({own}-{other},4)");
        self.formula(row, col, &formula, wan(difference_m3), Look::Gap)
    }

    /// Signature cells and the place of the seal.
    pub(super) fn signatures(&mut self, row: u32, names: &[(&str, &str)], step: u16) -> Done {
        for (position, (role, name)) in names.iter().enumerate() {
            let col = col_of(position).saturating_mul(step);
            self.sheet.write_string_with_format(
                row,
                col,
                format!("{role}：{name}"),
                &self.styles.signature,
            )?;
        }
        self.sheet.set_row_height(row, 26)?;
        Ok(())
    }

    /// A line without a box.
    pub(super) fn note(&mut self, row: u32, text: &str) -> Done {
        self.sheet
            .write_string_with_format(row, 0, text, &self.styles.note)?;
        Ok(())
    }

    /// A3 landscape, one page wide, heads repeated and frozen, page numbers, print area.
    pub(super) fn print(
        &mut self,
        last_row: u32,
        last_col: u16,
        head_rows: u32,
        fixed_cols: u16,
    ) -> Done {
        self.sheet
            .set_paper_size(8)
            .set_landscape()
            .set_print_fit_to_pages(1, 0)
            .set_print_center_horizontally(true)
            .set_margins(0.4, 0.4, 0.6, 0.6, 0.3, 0.3)
            .set_footer("&C第&P页/共&N页");
        self.sheet.set_print_area(0, 0, last_row, last_col)?;
        if head_rows > 0 {
            self.sheet.set_repeat_rows(0, head_rows - 1)?;
            self.sheet.set_freeze_panes(head_rows, fixed_cols)?;
        }
        Ok(())
    }
}
