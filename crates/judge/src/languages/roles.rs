//! What the kinds of nodes of all grammars are to the flow of data.
//!
//! The grammars name alike what is alike, so one table serves them all; where a name means two things, the dialect decides.

use super::dialect::Dialect;
use std::sync::LazyLock;

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) enum Role {
    /// Made of its children.
    #[default]
    Other,
    /// A function: names assigned inside are its own.
    Function,
    /// A Ruby block: its parameters are its own, names assigned inside are not.
    Block,
    /// A list of parameters.
    Parameters,
    /// Gives a name a value, or adds to it.
    Assign,
    /// A call or a construction.
    Call,
    /// A string, with or without values in it.
    Text,
    /// A Ruby string whose text stands further down.
    Heredoc,
    /// The text of a [`Self::Heredoc`].
    HeredocBody,
    /// A value inside a string.
    Inserted,
    /// Two operands.
    Binary,
    /// A number, a truth value, a regular expression, nothing.
    Constant,
    /// A name.
    Name,
    /// A name inside something.
    Member,
    /// A value taken for another type.
    Cast,
    /// One value or another.
    Choice,
    /// Goes on only where a condition holds.
    Condition,
    /// Leaves without a value.
    Throw,
    /// A declared array.
    Array,
    /// A comment.
    Comment,
}

const KINDS: &[(Role, &[&str])] = &[
    (
        Role::Function,
        &[
            "function_declaration",
            "function_expression",
            "generator_function",
            "generator_function_declaration",
            "arrow_function",
            "method_definition",
            "method_declaration",
            "constructor_declaration",
            "lambda_expression",
            "func_literal",
            "function_definition",
            "method",
            "singleton_method",
            "lambda",
        ],
    ),
    (Role::Block, &["do_block"]),
    (
        Role::Parameters,
        &[
            "formal_parameters",
            "parameter_list",
            "inferred_parameters",
            "method_parameters",
            "block_parameters",
            "lambda_parameters",
            "parameters",
        ],
    ),
    (
        Role::Assign,
        &[
            "variable_declarator",
            "assignment_expression",
            "augmented_assignment_expression",
            "assignment_statement",
            "short_var_declaration",
            "var_spec",
            "const_spec",
            "init_declarator",
            "assignment",
            "operator_assignment",
            "augmented_assignment",
            "for_in_statement",
            "range_clause",
            "enhanced_for_statement",
            "for_range_loop",
            "for",
        ],
    ),
    (Role::Call, &["call_expression", "new_expression", "method_invocation", "object_creation_expression", "call"]),
    (
        Role::Text,
        &[
            "string",
            "template_string",
            "string_literal",
            "interpreted_string_literal",
            "raw_string_literal",
            "concatenated_string",
            "chained_string",
            "subshell",
            "delimited_symbol",
        ],
    ),
    (Role::Heredoc, &["heredoc_beginning"]),
    (Role::HeredocBody, &["heredoc_body"]),
    (Role::Inserted, &["template_substitution", "interpolation"]),
    (Role::Binary, &["binary_expression", "binary", "binary_operator", "boolean_operator", "comparison_operator"]),
    (
        Role::Constant,
        &[
            "number",
            "number_literal",
            "integer",
            "float",
            "int_literal",
            "float_literal",
            "decimal_integer_literal",
            "hex_integer_literal",
            "octal_integer_literal",
            "binary_integer_literal",
            "decimal_floating_point_literal",
            "char_literal",
            "character_literal",
            "rune_literal",
            "regex",
            "true",
            "false",
            "null",
            "null_literal",
            "nil",
            "none",
            "undefined",
            "simple_symbol",
            "hash_key_symbol",
            "sizeof_expression",
            "class_literal",
        ],
    ),
    (
        Role::Name,
        &[
            "identifier",
            "shorthand_property_identifier",
            "shorthand_property_identifier_pattern",
            "constant",
            "instance_variable",
            "class_variable",
            "global_variable",
        ],
    ),
    (
        Role::Member,
        &[
            "member_expression",
            "selector_expression",
            "field_access",
            "field_expression",
            "scope_resolution",
            "attribute",
            "subscript_expression",
            "element_reference",
            "index_expression",
            "array_access",
            "subscript",
        ],
    ),
    (Role::Cast, &["cast_expression", "type_conversion_expression"]),
    (Role::Choice, &["ternary_expression", "conditional_expression", "conditional"]),
    (
        Role::Condition,
        &[
            "if_statement",
            "if",
            "unless",
            "elsif",
            "if_modifier",
            "unless_modifier",
            "while_statement",
            "while",
            "while_modifier",
            "do_statement",
            "for_statement",
            "switch_statement",
            "switch_expression",
            "expression_switch_statement",
            "case",
        ],
    ),
    (Role::Throw, &["throw_statement"]),
    (Role::Array, &["array_declarator"]),
    (Role::Comment, &["comment", "line_comment", "block_comment"]),
];

/// The role of every kind of a grammar, by the kind's number.
pub(super) fn of(dialect: Dialect) -> &'static [Role] {
    static TABLES: LazyLock<Vec<Vec<Role>>> = LazyLock::new(|| Dialect::ALL.iter().map(|d| table(*d)).collect());
    &TABLES[dialect as usize]
}

fn table(dialect: Dialect) -> Vec<Role> {
    let grammar = dialect.grammar();
    let count = u16::try_from(grammar.node_kind_count()).unwrap_or(u16::MAX);
    let role = |id: u16| {
        let name = grammar.node_kind_for_id(id).filter(|_| grammar.node_kind_is_named(id)).unwrap_or_default();
        if dialect == Dialect::Ruby && name == "block" {
            return Role::Block;
        }
        KINDS.iter().find(|(_, names)| names.contains(&name)).map(|(role, _)| *role).unwrap_or_default()
    };
    (0..count).map(role).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A name that no grammar has is a slip, or a grammar has moved on.
    #[test]
    fn every_kind_is_some_grammar_s() {
        let known = |name: &&&str| Dialect::ALL.iter().all(|d| d.grammar().id_for_node_kind(name, true) == 0);
        let unknown: Vec<_> = KINDS.iter().flat_map(|(_, names)| *names).filter(known).collect();
        assert!(unknown.is_empty(), "{unknown:?}");
    }
}
