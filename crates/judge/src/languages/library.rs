//! What functions of the languages' libraries answer with, by their names.
//!
//! A name is all that is known of a function, so a name stands here only where whatever bears it does the same in every
//! language that is read.

/// Calls whose answer is a number, or bears no trace of what went in.
pub(super) fn is_number(name: &str) -> bool {
    const NAMES: &[&str] = &[
        "parseInt",
        "parseFloat",
        "Number",
        "BigInt",
        "Boolean",
        "isNaN",
        "isArray",
        "length",
        "size",
        "len",
        "count",
        "indexOf",
        "lastIndexOf",
        "charCodeAt",
        "intValue",
        "longValue",
        "valueOf",
        "hashCode",
        "currentTimeMillis",
        "now",
        "nanoTime",
        "Atoi",
        "ParseInt",
        "ParseUint",
        "ParseFloat",
        "ParseBool",
        "Unix",
        "to_i",
        "to_f",
        "Integer",
        "Float",
        "atoi",
        "atol",
        "strtol",
        "strtoul",
        "strlen",
        "sizeof",
        "getTime",
        "randomUUID",
        "uuid",
        "uuidv4",
        "hexdigest",
        "includes",
        "startsWith",
        "endsWith",
        "equals",
        "contains",
        "isEmpty",
        "empty?",
        "nil?",
        "present?",
        "blank?",
        "include?",
        "parseLong",
        "parseDouble",
        "parseBoolean",
        "int",
        "float",
        "exists",
        "existsSync",
        "getpid",
    ];
    NAMES.contains(&name)
}

/// Calls that put their arguments into their first one's text.
pub(super) fn is_format(name: &str) -> bool {
    matches!(
        name,
        "Sprintf" | "Errorf" | "format" | "sprintf" | "snprintf" | "formatted" | "Sprint" | "Sprintln" | "concat"
    )
}

/// Calls whose answer is made of nothing but what they are called on and given: constants stay constant.
pub(super) fn is_made_of_input(name: &str) -> bool {
    const NAMES: &[&str] = &[
        // Texts.
        "trim",
        "trimStart",
        "trimEnd",
        "strip",
        "stripLeading",
        "stripTrailing",
        "stripIndent",
        "lstrip",
        "rstrip",
        "chomp",
        "squish",
        "strip_heredoc",
        "Trim",
        "TrimSpace",
        "TrimPrefix",
        "TrimSuffix",
        "TrimLeft",
        "TrimRight",
        "toUpperCase",
        "toLowerCase",
        "ToUpper",
        "ToLower",
        "upcase",
        "downcase",
        "toString",
        "to_s",
        "to_sym",
        "String",
        "substring",
        "slice",
        "replace",
        "replaceAll",
        "ReplaceAll",
        "gsub",
        "sub",
        "join",
        "Join",
        "joining",
        "append",
        // Collections.
        "freeze",
        "dup",
        "of",
        "ofEntries",
        "entry",
        "asList",
        "copyOf",
        "unmodifiableMap",
        "unmodifiableList",
        "unmodifiableSet",
        "fromEntries",
        "from",
        "stream",
        "collect",
        "toList",
        "Map",
        "Set",
        "HashMap",
        "LinkedHashMap",
        "TreeMap",
        "HashSet",
        "ArrayList",
        "StringBuilder",
        "StringBuffer",
    ];
    NAMES.contains(&name)
}

/// Constructions of what is empty until something is put into it.
pub(super) fn is_container(name: &str) -> bool {
    const NAMES: &[&str] = &[
        "Map",
        "Set",
        "Array",
        "HashMap",
        "LinkedHashMap",
        "TreeMap",
        "ConcurrentHashMap",
        "HashSet",
        "LinkedHashSet",
        "ArrayList",
        "LinkedList",
        "StringBuilder",
        "StringBuffer",
        "StringJoiner",
    ];
    NAMES.contains(&name)
}

/// Constructions of what texts are put behind one another in.
pub(super) fn is_builder(name: &str) -> bool {
    matches!(name, "StringBuilder" | "StringBuffer")
}

/// Calls that answer with an element of what they are called on, or with what they are given for want of one.
pub(super) fn is_lookup(name: &str) -> bool {
    matches!(name, "get" | "getOrDefault" | "fetch" | "dig" | "at")
}

/// Calls that answer with what a function makes of each element.
pub(super) fn is_mapping(name: &str) -> bool {
    matches!(name, "map" | "flatMap" | "flat_map" | "mapToObj" | "collect" | "from")
}

/// Calls that put their last argument under their first into what they are called on.
pub(super) fn puts(name: &str) -> bool {
    matches!(name, "put" | "putIfAbsent" | "set" | "store")
}
