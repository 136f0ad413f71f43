"""The science and the data handling.

Belongs here: everything that can be used, tested and understood without Dagster. One package per subject.
Does not belong here: anything that imports dagster (``assets/``, ``checks/``, ``resources/``, ``automation/`` wrap this
package), reads the environment, or asks the clock for something that ends up in data.

Subjects import ``tables``, ``store``, ``errors``, ``report``, ``progress``, ``chunks``, ``licenses`` and ``compute``,
never one another: what one needs of another is handed to it as an argument.
"""
