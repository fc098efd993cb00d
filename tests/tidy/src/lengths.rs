//! How long files and functions are, and how deep control flow is nested.

use syn::{
    Block, Expr, ImplItemFn, ItemFn, Signature, TraitItemFn,
    spanned::Spanned,
    visit::{self, Visit},
};

use crate::{
    RustFile, Violation,
    rust::{line_of, lines_of},
};

/// Lines of a source.
pub const FILE_LINES_MAX: usize = 800;
/// Lines of a source of tests: one long list of cases is read more easily than many files.
pub const TEST_FILE_LINES_MAX: usize = 1_500;
/// Lines of a function, from its signature to its closing brace: one screen.
pub const FUNCTION_LINES_MAX: usize = 70;
/// Conditions, loops, matches and closures inside one another.
pub const NESTING_MAX: usize = 4;

/// Checks one source.
#[must_use]
pub fn check(file: &RustFile) -> Vec<Violation> {
    let mut found = Vec::new();
    let lines_max = if file.is_test() { TEST_FILE_LINES_MAX } else { FILE_LINES_MAX };
    if file.lines > lines_max {
        found.push(Violation::of(&file.path, format!("{} lines, at most {lines_max}", file.lines)));
    }
    let mut functions = Functions { path: &file.path, found };
    functions.visit_file(&file.syntax);
    functions.found
}

struct Functions<'a> {
    path: &'a str,
    found: Vec<Violation>,
}

impl Functions<'_> {
    fn check(&mut self, signature: &Signature, block: &Block) {
        let (first, last) = lines_of(signature, block);
        let (name, lines) = (&signature.ident, last + 1 - first);
        if lines > FUNCTION_LINES_MAX {
            let what = format!("function {name} has {lines} lines, at most {FUNCTION_LINES_MAX}");
            self.found.push(Violation::at(self.path, first, what));
        }
        let mut nesting = Nesting::default();
        nesting.visit_block(block);
        if nesting.deepest > NESTING_MAX {
            let what = format!("function {name} is nested {} deep, at most {NESTING_MAX}", nesting.deepest);
            self.found.push(Violation::at(self.path, nesting.line, what));
        }
    }
}

impl<'ast> Visit<'ast> for Functions<'_> {
    fn visit_item_fn(&mut self, function: &'ast ItemFn) {
        self.check(&function.sig, &function.block);
        visit::visit_item_fn(self, function);
    }

    fn visit_impl_item_fn(&mut self, function: &'ast ImplItemFn) {
        self.check(&function.sig, &function.block);
        visit::visit_impl_item_fn(self, function);
    }

    fn visit_trait_item_fn(&mut self, function: &'ast TraitItemFn) {
        if let Some(block) = &function.default {
            self.check(&function.sig, block);
        }
        visit::visit_trait_item_fn(self, function);
    }
}

/// How deep control flow goes, and where it is deepest. Functions inside the function count for themselves.
#[derive(Default)]
struct Nesting {
    depth: usize,
    deepest: usize,
    line: usize,
}

impl<'ast> Visit<'ast> for Nesting {
    fn visit_expr(&mut self, expr: &'ast Expr) {
        let nests = match expr {
            Expr::If(_) | Expr::Match(_) | Expr::While(_) | Expr::ForLoop(_) | Expr::Loop(_) => true,
            Expr::Closure(closure) => matches!(*closure.body, Expr::Block(_)),
            _ => false,
        };
        self.depth += usize::from(nests);
        if self.depth > self.deepest {
            (self.deepest, self.line) = (self.depth, line_of(expr.span()));
        }
        visit::visit_expr(self, expr);
        self.depth -= usize::from(nests);
    }

    /// `else if` continues a condition, it does not nest.
    fn visit_expr_if(&mut self, expr: &'ast syn::ExprIf) {
        self.visit_expr(&expr.cond);
        self.visit_block(&expr.then_branch);
        match expr.else_branch.as_ref().map(|(_, branch)| &**branch) {
            Some(Expr::If(chained)) => self.visit_expr_if(chained),
            Some(branch) => self.visit_expr(branch),
            None => {}
        }
    }

    fn visit_item(&mut self, _: &'ast syn::Item) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::File;

    fn check_text(path: &str, text: String) -> Vec<String> {
        let file = RustFile::parse(&File { path: path.into(), text }).unwrap();
        check(&file).into_iter().map(|violation| violation.to_string()).collect()
    }

    #[test]
    fn a_source_of_801_lines_is_too_long_but_not_one_of_tests() {
        let text = "//\n".repeat(801);
        assert_eq!(
            check_text("shared/topic/src/name.rs", text.clone()),
            ["shared/topic/src/name.rs: 801 lines, at most 800"]
        );
        assert_eq!(check_text("shared/topic/tests/name.rs", text.clone()), [""; 0]);
        assert_eq!(check_text("shared/topic/src/name/tests.rs", text), [""; 0]);
    }

    #[test]
    fn a_function_of_71_lines_is_too_long() {
        let function = |lines: usize| format!("impl A {{\n#[inline]\nfn f() {{\n{}}}\n}}", "g();\n".repeat(lines - 2));
        assert_eq!(check_text("a.rs", function(70)), [""; 0]);
        assert_eq!(check_text("a.rs", function(71)), ["a.rs:3: function f has 71 lines, at most 70"]);
    }

    #[test]
    fn five_levels_of_control_flow_are_too_deep_and_else_if_is_no_level() {
        let deep = "fn f() { if a {\nmatch b { _ =>\nfor c in d {\nwhile e {\n g(|| { h() })\n}}}}}";
        assert_eq!(check_text("a.rs", deep.into()), ["a.rs:5: function f is nested 5 deep, at most 4"]);
        let chain = "fn f() { if a {} else if b {} else if c {} else if d {} else if e {} else { f(|| g) } }";
        assert_eq!(check_text("a.rs", chain.into()), [""; 0]);
    }
}
