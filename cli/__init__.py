"""The command line. Plain: it never imports a model library, and Gradio only when it serves."""
