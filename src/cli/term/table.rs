//! Tables as kubectl draws them: columns, no lines.

use comfy_table::{ContentArrangement, Table, presets};

/// `rows` under `head`, columns as wide as their content.
pub(crate) fn table(head: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(head.to_vec());
    for row in rows {
        table.add_row(row);
    }
    let count = table.column_count();
    for (at, column) in table.column_iter_mut().enumerate() {
        column.set_padding((0, if at + 1 == count { 0 } else { 3 }));
    }
    let lines: Vec<String> = table
        .lines()
        .map(|line| line.trim_end().to_owned())
        .collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    #[test]
    fn columns_line_up_without_trailing_space() {
        let rows = [
            vec!["a".to_owned(), "1".to_owned()],
            vec!["long".to_owned(), "22".to_owned()],
        ];
        let text = super::table(&["NAME", "N"], rows);
        assert_eq!(text, "NAME   N\na      1\nlong   22");
    }
}
