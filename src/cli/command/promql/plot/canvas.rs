//! Dots in braille characters, two by four in each.

/// The bit of a dot in a braille character, by row and column (Unicode, Braille Patterns).
const DOTS: [[u8; 2]; 4] = [[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]];

#[derive(Clone, Copy, Debug, Default)]
struct Cell {
    dots: u8,
    letter: Option<char>,
    /// Who drew here last.
    series: usize,
}

#[derive(Clone, Debug)]
pub(super) struct Canvas {
    columns: usize,
    rows: usize,
    cells: Vec<Cell>,
}

/// From 0 to 1, right and up.
type Point = (f64, f64);

impl Canvas {
    pub(super) fn new(columns: usize, rows: usize) -> Self {
        Self {
            columns,
            rows,
            cells: vec![Cell::default(); columns * rows],
        }
    }

    pub(super) fn columns(&self) -> usize {
        self.columns
    }

    /// The row of characters that `y` is in.
    pub(super) fn row_of(&self, y: f64) -> usize {
        self.dot((0.0, y)).1 / 4
    }

    fn dot(&self, (x, y): Point) -> (usize, usize) {
        let place = |share: f64, dots: usize| {
            let last = (dots - 1) as f64;
            (share.clamp(0.0, 1.0) * last).round() as usize
        };
        (place(x, self.columns * 2), place(1.0 - y, self.rows * 4))
    }

    /// A straight line, both ends drawn.
    pub(super) fn line(&mut self, from: Point, to: Point, series: usize) {
        let ((x0, y0), (x1, y1)) = (self.dot(from), self.dot(to));
        let length = x0.abs_diff(x1).max(y0.abs_diff(y1));
        for at in 0..=length {
            let share = at as f64 / length.max(1) as f64;
            let between =
                |a: usize, b: usize| (a as f64 + (b as f64 - a as f64) * share).round() as usize;
            let (x, y) = (between(x0, x1), between(y0, y1));
            let cell = &mut self.cells[y / 4 * self.columns + x / 2];
            cell.dots |= DOTS[y % 4][x % 2];
            cell.series = series;
        }
    }

    /// A letter in place of the dots, unless another one is there.
    pub(super) fn letter(&mut self, at: Point, letter: char, series: usize) {
        let (x, y) = self.dot(at);
        let cell = &mut self.cells[y / 4 * self.columns + x / 2];
        if cell.letter.is_none() {
            (cell.letter, cell.series) = (Some(letter), series);
        }
    }

    /// The characters of a row; what one series drew is painted at once.
    pub(super) fn row(&self, row: usize, paint: impl Fn(usize, &str) -> String) -> String {
        let cells = &self.cells[row * self.columns..][..self.columns];
        let drawn_by =
            |cell: &Cell| (cell.dots != 0 || cell.letter.is_some()).then_some(cell.series);
        let mut text = String::new();
        for run in cells.chunk_by(|a, b| drawn_by(a) == drawn_by(b)) {
            let characters: String = run.iter().map(character).collect();
            match drawn_by(&run[0]) {
                Some(series) => text.push_str(&paint(series, &characters)),
                None => text.push_str(&characters),
            }
        }
        text
    }
}

fn character(cell: &Cell) -> char {
    match (cell.letter, cell.dots) {
        (Some(letter), _) => letter,
        (None, 0) => ' ',
        (None, dots) => char::from_u32(0x2800 + u32::from(dots)).unwrap_or('?'),
    }
}
