"""The verbs of the command line, a module each; a verb is loaded when it is called."""
